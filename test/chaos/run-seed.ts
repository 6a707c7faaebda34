import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "../kit/eventually.js";
import { type ChaosDevice, connectChaosDevice } from "./chaos-device.js";
import { countMissing, judge, judgeLogs, type Verdict } from "./checker.js";
import { planFaults } from "./fault-plan.js";
import { runFaults } from "./fault-runner.js";
import { History } from "./history.js";
import { type LeaderWatch, watchLeaders } from "./leaders.js";
import { DEVICES, startLoad } from "./load.js";
import { createRandom } from "./random.js";
import { readLogs } from "./read-logs.js";
import { PARTITIONS, startChaosSystem } from "./system.js";

const SETTLE_MS = 120_000;
const SETTLE_POLL_MS = 500;
const READY_MS = 120_000;

export interface SeedOptions {
  readonly seed: number;
  /** How many faults. */
  readonly faults: number;
  /** Traffic goes on until so many messages were sent and all faults are over. */
  readonly messages: number;
  /** Messages a second, of all devices together. */
  readonly perSecond: number;
  /** Keeps the folder of the run even when nothing was violated. */
  readonly keep?: boolean;
  /** Gets what happens, a line each. */
  readonly tell: (line: string) => void;
}

export interface SeedResult extends Verdict {
  readonly seed: number;
  readonly faults: number;
  /** Publishes that failed: messages that their sender was asked to send again, as they could not be stored then. */
  readonly failedPublishes: number;
  readonly leaderChanges: number;
  /** From the first message to the last fault's end. */
  readonly loadS: number;
  /** From the start of the processes to the verdict. */
  readonly tookS: number;
  /** Logs, streams, journal and violations of the run; undefined when it was removed. */
  readonly folder: string | undefined;
}

/** One run: starts everything on an empty folder, traffic, faults, heals, waits until all has arrived, judges. */
export async function runSeed(options: SeedOptions): Promise<SeedResult> {
  const { seed } = options;
  const startedMs = performance.now();
  const folder = await mkdtemp(join(tmpdir(), `bimip-chaos-${seed}-`));
  const history = new History(DEVICES, join(folder, "journal.ndjson"));
  const tell = (line: string): void => {
    history.note("told", { line });
    options.tell(`seed ${seed}, ${(history.nowMs / 1_000).toFixed(1)} s: ${line}`);
  };
  tell(`folder ${folder}`);
  const random = createRandom(seed);
  const plan = planFaults(random.fork(), options.faults);
  const lineRandom = random.fork();
  const system = await startChaosSystem(folder, (line) => history.note("process", { line }));
  const devices: ChaosDevice[] = [];
  let leaders: LeaderWatch | undefined;
  let kept = true;
  try {
    const servers = system.cluster.nodes.map(({ server }) => server.url);
    leaders = await watchLeaders(servers, PARTITIONS);
    const gateways = (): number[] => lineRandom.shuffle(system.gatewayPorts);
    const { secret } = system.stack;
    devices.push(
      ...(await Promise.all(DEVICES.map((name) => connectChaosDevice({ ...name, history, secret, gateways })))),
    );
    tell(`${devices.length} devices are connected`);

    const loadStartedMs = performance.now();
    const load = startLoad(devices, random.fork(), options.perSecond);
    try {
      await runFaults(plan, { system, devices, leaders, tell });
      tell(`faults are over, ${load.sent} messages sent`);
      // Devices that nobody answers stop sending; that is for the checker to tell.
      await eventually("messages sent", () => load.sent >= options.messages, SETTLE_MS).catch((error: unknown) =>
        tell(String(error)),
      );
    } finally {
      load.stop();
    }
    const loadS = (performance.now() - loadStartedMs) / 1_000;
    await system.stack.ready(READY_MS);
    await settle(history, devices, tell);
    await eventually("no route past the proxies", () => system.cluster.verify().then(() => true));

    const eids = [...new Set(DEVICES.map(({ eid }) => eid))];
    const misfiled = judgeLogs(history, await readLogs(system.cluster.url, PARTITIONS, eids));
    const verdict = judge(history, DEVICES);
    const violations = [...verdict.violations, ...misfiled];
    kept = options.keep === true || violations.length > 0;
    if (violations.length > 0) {
      await writeFile(join(folder, "violations.json"), JSON.stringify(violations, undefined, 2));
      await writeFile(join(folder, "clients.json"), JSON.stringify(devices.map(describeDevice), undefined, 2));
    }
    return {
      ...verdict,
      violations,
      seed,
      faults: plan.length,
      failedPublishes: devices.reduce((sum, { postponed }) => sum + postponed, 0),
      leaderChanges: leaders.changes,
      loadS,
      tookS: (performance.now() - startedMs) / 1_000,
      folder: kept ? folder : undefined,
    };
  } finally {
    history.flush();
    await Promise.all(devices.map((device) => device.close()));
    await leaders?.stop();
    await system.stop();
    if (!kept) await rm(folder, { recursive: true, force: true });
  }
}

/** Waits until everything is answered and received; what does not come in time is for the checker to tell. */
async function settle(history: History, devices: readonly ChaosDevice[], tell: (line: string) => void): Promise<void> {
  const complete = async (): Promise<void> => {
    const deadlineMs = history.nowMs + SETTLE_MS;
    // Not more often: the routes between the nats-servers run through this process as well.
    while (countMissing(history, devices) > 0 && history.nowMs < deadlineMs) await delay(SETTLE_POLL_MS);
    const missing = countMissing(history, devices);
    tell(missing === 0 ? "everything is here" : `${missing} missing after ${SETTLE_MS} ms`);
  };
  await complete();
  tell("all devices come back once more");
  // What a resume repeats shows now, and by the pong nothing more is on its way.
  await Promise.all(devices.map(comeBack)).catch((error: unknown) => tell(String(error)));
  await complete();
}

async function comeBack({ key, client, line }: ChaosDevice): Promise<void> {
  const offline = eventually(`${key} is offline`, () => client.state !== "online", SETTLE_MS);
  line.reset();
  await offline;
  await eventually(`${key} is online`, () => client.state === "online", SETTLE_MS);
  await eventually(`pong for ${key}`, () => client.ping(), SETTLE_MS);
}

function describeDevice({ key, client, waiting, errors }: ChaosDevice): object {
  return { key, state: client.state, waiting, errors };
}
