import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "../kit/eventually.js";
import type { ChaosDevice } from "./chaos-device.js";
import { concernsNats, type Fault, type PlannedFault } from "./fault-plan.js";
import type { LeaderWatch } from "./leaders.js";
import type { NatsNode } from "./nats-cluster.js";
import { type ChaosSystem, PARTITIONS } from "./system.js";

const ROUTES_BACK_MS = 60_000;
/** An election takes 4–9 s. */
const ELECTED_MS = 30_000;
/** More than the kernel takes for a reader that sleeps on this machine's loopback (some 2.5 MB), so that the gateway notices. */
const BURST = { messages: 100, bytes: 40_000 } as const;
/** Sent just before a device vanishes. */
const LAST_WORDS = 20;
const SLOW_BYTES_PER_SECOND = 8_000;

export interface FaultTargets {
  readonly system: ChaosSystem;
  readonly devices: readonly ChaosDevice[];
  readonly leaders: LeaderWatch;
  /** Gets a line when a fault begins and when it ends. */
  readonly tell: (line: string) => void;
}

/**
 * Lets the faults happen, one after the other begun; those of NATS wait for each other's end, the others overlap.
 * Resolves when all have ended.
 *
 * @throws Error when a fault could not be made, or had not the effect that it must have
 */
export async function runFaults(plan: readonly PlannedFault[], targets: FaultTargets): Promise<void> {
  const running: Promise<void>[] = [];
  let natsFault: Promise<void> = Promise.resolve();
  for (const { fault, afterMs } of plan) {
    await delay(afterMs);
    if (concernsNats(fault)) await natsFault;
    const ending = run(fault, targets);
    running.push(ending);
    ending.catch(() => undefined); // told below, once all have ended
    if (concernsNats(fault)) natsFault = ending;
  }
  await Promise.allSettled(running);
  await Promise.all(running);
}

async function run(fault: Fault, targets: FaultTargets): Promise<void> {
  switch (fault.kind) {
    case "kill":
    case "pause":
      return signal(fault, targets);
    case "cut routes":
    case "slow routes":
      return disturbRoutes(fault, targets);
    case "freeze readers":
    case "slow readers":
    case "vanish":
    case "half-open":
      return disturbDevices(fault, targets);
    default:
      return fault satisfies never;
  }
}

async function signal(fault: Fault & { kind: "kill" | "pause" }, targets: FaultTargets): Promise<void> {
  const { system, tell } = targets;
  const { kind, what, pick } = fault;
  if (what === "nats" || what === "leader") {
    const node = what === "leader" ? leaderOf(pick % PARTITIONS, targets) : nodeAt(pick, targets);
    tell(`${kind} ${node.name}${what === "leader" ? `, leader of LOG_${pick % PARTITIONS}` : ""}`);
    if (kind === "kill") {
      await node.server.kill("SIGKILL");
      await delay(fault.downMs);
      if (fault.untilElected) await otherLeader(pick % PARTITIONS, node, targets);
      await node.server.restart();
    } else {
      await pause(node.server, fault.forMs);
    }
    await routesBack(targets);
    return tell(`${node.name} is back`);
  }
  const victim = system.stack.process(choose(system.processesOf(what), pick));
  tell(`${kind} ${victim.name}`);
  if (kind === "kill") return victim.kill("SIGKILL");
  await pause(victim, fault.forMs);
  return tell(`${victim.name} goes on after ${fault.forMs} ms`);
}

async function otherLeader(partition: number, dead: NatsNode, { leaders }: FaultTargets): Promise<void> {
  await eventually(`LOG_${partition} has another leader`, () => leaders.leader(partition) !== dead.name, ELECTED_MS);
}

async function pause(victim: { kill(signal: NodeJS.Signals): Promise<void> }, forMs: number): Promise<void> {
  await victim.kill("SIGSTOP");
  await delay(forMs);
  await victim.kill("SIGCONT");
}

async function disturbRoutes(
  fault: Fault & { kind: "cut routes" | "slow routes" },
  targets: FaultTargets,
): Promise<void> {
  const node = nodeAt(fault.pick, targets);
  const isCut = fault.kind === "cut routes" && !fault.silent;
  targets.tell(`${fault.kind} of ${node.name} for ${fault.forMs} ms${isCut ? ", by resets" : ""}`);
  for (const route of node.routes) {
    if (fault.kind === "slow routes") route.delay(fault.delayMs);
    else if (fault.silent) route.freeze();
    else route.cut();
  }
  try {
    if (isCut) await eventually(`no route of ${node.name}`, async () => (await node.routeCount()) === 0, fault.forMs);
    await delay(fault.forMs);
  } finally {
    for (const route of node.routes) route.heal();
  }
  await routesBack(targets);
  targets.tell(`routes of ${node.name} are back`);
}

/** Until then the next fault of NATS could hit a second node. */
async function routesBack({ system }: FaultTargets): Promise<void> {
  const { nodes } = system.cluster;
  const connected = async (): Promise<boolean> => {
    const counts = await Promise.all(nodes.map((node) => node.routeCount()));
    return counts.every((count) => count > 0);
  };
  await eventually("routes between all nodes", connected, ROUTES_BACK_MS);
}

async function disturbDevices(
  fault: Fault & { kind: "freeze readers" | "slow readers" | "vanish" | "half-open" },
  { devices, tell }: FaultTargets,
): Promise<void> {
  const { kind, forMs } = fault;
  const chosen = [...new Set(fault.picks.map((pick) => choose(devices, pick)))];
  const names = chosen.map(({ key }) => key).join(", ");
  tell(`${kind} ${names} for ${forMs} ms`);
  for (const device of chosen) {
    const { line } = device;
    if (kind === "half-open") line.freeze();
    else if (kind === "slow readers") line.slow(SLOW_BYTES_PER_SECOND);
    else line.freeze("down");
    if (kind === "vanish") for (let at = 0; at < LAST_WORDS; at++) device.send(choose(devices, at).eid);
    if (kind === "freeze readers") burstTo(device, devices);
  }
  await delay(forMs);
  const unsure = chosen.reduce((sum, { waiting }) => sum + waiting, 0);
  for (const { line } of chosen) {
    if (kind === "vanish") line.reset();
    line.heal();
  }
  tell(`end of ${kind} ${names}; messages without SENT: ${unsure}`);
}

function burstTo({ eid }: ChaosDevice, devices: readonly ChaosDevice[]): void {
  const sender = devices.find((device) => device.eid !== eid);
  for (let at = 0; at < BURST.messages; at++) sender?.send(eid, BURST.bytes);
}

function nodeAt(pick: number, { system }: FaultTargets): NatsNode {
  return choose(system.cluster.nodes, pick);
}

function leaderOf(partition: number, targets: FaultTargets): NatsNode {
  const name = targets.leaders.leader(partition);
  return targets.system.cluster.nodes.find((node) => node.name === name) ?? nodeAt(partition, targets);
}

function choose<T>(items: readonly T[], pick: number): T {
  const item = items[pick % items.length];
  if (item === undefined) throw new RangeError("nothing to choose from");
  return item;
}
