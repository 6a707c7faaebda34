import { partitionOf } from "@bimip/nats";
import { tokenToName } from "@bimip/protocol";
import { Device } from "./device.js";
import { breakSomething } from "./faults.js";
import { SimGateway } from "./gateway.js";
import { PAGES_READ } from "./log-reads.js";
import { Nats } from "./nats.js";
import { install } from "./platform.js";
import { Records } from "./records.js";
import type { Scenario } from "./scenarios.js";
import { createBuckets, startAwareness, startRouter, startStorage } from "./services.js";
import type { Listener } from "./sockets.js";
import { Standstill } from "./standstill.js";
import { Stream } from "./stream.js";
import { Truth } from "./truth.js";
import { Process, World } from "./world.js";

/** A rule that was broken, when and how. */
export class Violation extends Error {
  readonly rule: string;
  constructor(rule: string, details: string, atMs: number) {
    super(`${rule}: ${details} (at ${atMs.toFixed(3)} ms)`);
    this.rule = rule;
  }
}

/** What a run did: shows that it was not empty. */
export interface Report {
  readonly seed: number;
  readonly fingerprint: number;
  readonly tasks: number;
  readonly virtualMs: number;
  readonly acknowledged: number;
  readonly handed: number;
  /** How often what happened. */
  readonly counts: Readonly<Record<string, number>>;
}

/** Everything must be delivered so long after the last fault: a half-open socket takes 75 s to be noticed, then a wait. */
const SETTLE_MS = 200_000;
/** Most runs are short: what goes wrong needs few messages, and many seeds. */
const SIZES = [0.1, 0.1, 0.1, 0.2, 0.2, 0.3, 1] as const;
const MIN_TIME = 0.4;
const MIN_SEND_MS = 1_000;
const LOOK_EVERY_MS = 200;
/** Time for what comes too often, after everything has come. */
const QUIET_MS = 3_000;
const STOP_MS = 60_000;
/** A few sessions may still catch up with receipts. */
const MAX_QUIET_PAGES = 40;

/** One installation of the simulation, its users, and what may never happen to them. */
export class Simulation {
  readonly world: World;
  readonly scenario: Scenario;
  readonly nats: Nats;
  readonly truth: Truth;
  readonly devices: Device[] = [];
  gateways: SimGateway[] = [];
  readonly services: Process[] = [];
  /** Faults happen until then. */
  readonly endMs: number;
  readonly #god = new Process("simulation");
  readonly #records: Records;
  readonly #standstill: Standstill;
  readonly #messages: number;
  #gatewayNumber = 0;
  #completeSinceMs: number | undefined;
  /** Before the second half of the quiet time at the end. */
  #pagesBefore = 0;

  constructor(seed: number, scenario: Scenario, log?: string[]) {
    this.world = new World(seed);
    this.world.log = log;
    this.scenario = scenario;
    this.nats = new Nats(this.world);
    const share = this.world.dice.pick(SIZES);
    this.#messages = Math.ceil(scenario.messages * share);
    this.endMs = Math.max(scenario.sendMs * Math.max(share, MIN_TIME), scenario.connectMs + MIN_SEND_MS);
    const { dedupeWindowMs, partitions } = scenario;
    this.truth = new Truth({
      dedupeWindowMs,
      fail: (rule, details) => this.fail(rule, details),
      wasKnown: (receipt) => this.#records.knows(receipt, dedupeWindowMs),
    });
    this.#records = new Records(this);
    this.#standstill = new Standstill(this);
    for (let partition = 0; partition < partitions; partition++) {
      void new Stream(this.nats, partition, dedupeWindowMs, (stored) => {
        const { seq, id, kind, from } = this.truth.add(stored);
        this.world.note(() => `stored in ${stored.eid}: ${seq} ${kind} ${id} of ${from.eid}/${from.device}`);
      });
    }
  }

  fail(rule: string, details: string): void {
    this.world.note(() => `VIOLATION ${rule}: ${details}`);
    this.world.errors.push(new Violation(rule, details, this.world.nowMs));
  }

  /** Runs from the start to the stop. Rejects with the first Violation, or with what was thrown. */
  async run(seed: number): Promise<Report> {
    const uninstall = install(this.world);
    const { stackTraceLimit } = Error;
    if (this.world.log === undefined) Error.stackTraceLimit = 0; // thousands of expected errors, none is read
    const onRejection = (error: unknown): void => void this.world.errors.push(error);
    process.on("unhandledRejection", onRejection);
    try {
      this.#build();
      await this.world.run(() => this.#done());
      await this.#stop();
    } finally {
      process.off("unhandledRejection", onRejection);
      uninstall();
      Error.stackTraceLimit = stackTraceLimit;
    }
    const { fingerprint, tasks, nowMs, counts } = this.world;
    return {
      seed,
      fingerprint,
      tasks,
      virtualMs: Math.round(nowMs),
      acknowledged: this.devices.reduce((sum, device) => sum + device.acknowledged, 0),
      handed: this.devices.reduce((sum, device) => sum + device.handed.size, 0),
      counts: Object.fromEntries(counts),
    };
  }

  startGateway(): void {
    const { partitions, replicas, sendDeadlineMs, dedupeWindowMs, rates = {} } = this.scenario;
    const settings = { partitions, replicas, sendDeadlineMs, dedupeWindowMs, rates };
    this.gateways.push(new SimGateway(this.nats, `gateway-${++this.#gatewayNumber}`, settings));
  }

  /** Runs something after a while, outside of all processes. */
  later(ms: number, run: () => void): void {
    this.world.schedule(this.#god, ms, "fault", run);
  }

  streamOf(eid: string): Stream {
    return this.nats.streams.get(`bimip.log.${partitionOf(eid, this.scenario.partitions)}`) as Stream;
  }

  #build(): void {
    const { scenario, nats, world } = this;
    const buckets = createBuckets(
      (key, bytes) => this.#records.userWritten(tokenToName(key), bytes),
      (key, bytes) => this.#records.receiptsWritten(tokenToName(key), bytes),
    );
    const storage = (name: string): Process =>
      startStorage(nats, name, buckets, scenario.partitions, (request, after) =>
        this.#records.answered(request, after),
      );
    this.services.push(storage("storage-1"), storage("storage-2"), startRouter(nats), startAwareness(nats, buckets));
    for (let at = 0; at < scenario.gateways; at++) this.startGateway();
    // Mostly short, since a run waits until a dead connection is found.
    const pingIntervalMs = world.dice.chance(0.15) ? 25_000 : 4_000;
    const listening = (): readonly Listener[] => this.gateways.filter(({ process }) => process.alive);
    for (let user = 0; user < scenario.users; user++) {
      for (let at = 0; at < scenario.devices; at++) {
        const device = new Device(
          {
            world,
            truth: this.truth,
            gateways: listening,
            starts: (eid, name, asked, sinceMs) => this.#records.starts(eid, name, asked, sinceMs),
            fail: (rule, details) => this.fail(rule, details),
          },
          {
            eid: `user${user}@x`,
            name: `d${at}`,
            wire: scenario.wire(world.dice),
            keeps: world.dice.chance(scenario.keepers),
            pingIntervalMs,
            handlerMs: world.dice.chance(0.3) ? world.dice.between(1, 500) : 0,
          },
        );
        this.devices.push(device);
        this.later(world.dice.between(5, scenario.connectMs), () => device.start());
      }
    }
    this.#sendMessages();
    this.#breakLater();
    this.later(LOOK_EVERY_MS, () => this.#look());
  }

  #sendMessages(): void {
    const { scenario } = this;
    const { dice } = this.world;
    for (let sent = 0; sent < this.#messages; ) {
      const burst = Math.min(this.#messages - sent, dice.chance(0.3) ? dice.int(2, 25) : 1);
      sent += burst;
      const chosen = dice.pick(this.devices);
      const to = `user${dice.int(0, scenario.users - 1)}@x`;
      const other = dice.chance(0.15) ? `user${dice.int(0, scenario.users - 1)}@x` : to;
      const device = dice.chance(0.1) ? `d${dice.int(0, scenario.devices - 1)}` : undefined;
      this.later(dice.between(scenario.connectMs / 4, this.endMs), () => {
        const sender = chosen.running ? chosen : (this.devices.find(({ running }) => running) ?? chosen);
        for (let at = 0; at < burst; at++) {
          if (other !== to) sender.sendBoth(to, other);
          else sender.send(to, device);
        }
      });
    }
  }

  #breakLater(): void {
    const { dice } = this.world;
    this.later(dice.between(0, 2 * this.scenario.faultEveryMs), () => {
      if (this.world.nowMs >= this.endMs) return;
      const fault = dice.weighted(this.scenario.faults);
      this.world.count(`fault ${fault}`);
      this.world.note(() => `FAULT ${fault}`);
      breakSomething(this, fault);
      this.#breakLater();
    });
  }

  /** Looks now and then whether everything has arrived. */
  #look(): void {
    const { nowMs } = this.world;
    this.later(LOOK_EVERY_MS, () => this.#look());
    if (nowMs < this.endMs) return;
    const late = this.devices.find((device) => !device.complete || !this.#records.hasCursor(device));
    const healed = this.#healed();
    if (!healed || late !== undefined) this.#completeSinceMs = undefined;
    else if (this.#completeSinceMs === undefined) this.#completeSinceMs = nowMs;
    if (nowMs < (this.#completeSinceMs ?? nowMs) + QUIET_MS / 2) this.#pagesBefore = this.#pagesRead;
    this.#standstill.look(healed);
    if (late === undefined) return;
    if (nowMs < this.endMs + this.scenario.healMs + SETTLE_MS) return;
    const [rule, details] = late.incomplete;
    this.fail(rule, `${late.process.name}: ${details}`);
  }

  /** Nothing goes wrong any more: every process runs and has its NATS, every stream its leader. */
  #healed(): boolean {
    if (Object.values(this.nats.trouble).some((share) => share > 0)) return false;
    for (const stream of this.nats.streams.values()) if (!stream.hasLeader) return false;
    const { nowMs } = this.world;
    for (const { up, session, process } of this.nats.links) {
      if (!up || session?.alive !== true) return false;
      if (session.stallUntilMs > nowMs || process.frozenUntilMs > nowMs) return false;
    }
    return true;
  }

  #done(): boolean {
    return this.#completeSinceMs !== undefined && this.world.nowMs > this.#completeSinceMs + QUIET_MS;
  }

  get #pagesRead(): number {
    return this.world.counts.get(PAGES_READ) ?? 0;
  }

  /** Everything is closed; then nothing may be left. */
  async #stop(): Promise<void> {
    this.#god.alive = false;
    const pages = this.#pagesRead - this.#pagesBefore;
    if (pages > MAX_QUIET_PAGES) this.fail("nothing is read when all has come", `${pages} pages were`);
    for (const device of this.devices) device.settled();
    let open = 0;
    const untilMs = this.world.nowMs + STOP_MS;
    const finish = (process: Process, work: () => Promise<void>): void => {
      open++;
      this.world.schedule(process, 0, "stop", () => void work().finally(() => open--));
    };
    for (const device of this.devices) finish(device.process, () => device.close());
    await this.world.run(() => open === 0 || this.world.nowMs > untilMs);
    for (const gateway of this.gateways) if (gateway.process.alive) finish(gateway.process, () => gateway.stop());
    await this.world.run(() => open === 0 || this.world.nowMs > untilMs);
    if (open > 0) this.fail("everything ends", `${open} did not`);
    await this.world.run(() => this.world.nowMs > untilMs);
    const waiting = this.world.waiting();
    const left = this.gateways.filter(({ process }) => process.alive).flatMap((gateway) => gateway.leftOver);
    if (waiting.length + left.length > 0) this.fail("nothing is left over", [...waiting, ...left].join(", "));
    if (this.world.errors.length > 0) throw this.world.errors[0];
  }
}
