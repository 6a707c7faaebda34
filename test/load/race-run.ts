import { setTimeout as delay } from "node:timers/promises";
import type { NatsConnection } from "@bimip/nats";
import { createRandom, type Random } from "../chaos/random.js";
import { RaceConnection } from "./race-device.js";
import { addTo, type Begin, fellIntoPublish, judge, noFaults, type Stretch, type Verdict } from "./race-judge.js";
import { RacePublisher } from "./race-publisher.js";
import { nowMs, readStoredLog, type Stored } from "./stored-log.js";

/** The running system that is raced against. */
export interface RaceTarget {
  /** Of the gateways, on 127.0.0.1. */
  readonly ports: readonly number[];
  readonly nc: NatsConnection;
  readonly partitions: number;
  token(eid: string, device: string, scope?: string): Promise<string>;
}

export interface RaceOptions {
  /** Connects in all. */
  readonly races: number;
  /** Users at a time, each with its publisher and its device. */
  readonly workers: number;
  readonly seed: number;
  /** Afterwards a new user: logs stay short, RESUME -1 cheap. */
  readonly racesPerUser: number;
  readonly onProgress?: (races: number) => void;
}

/** How a device asks where to go on. */
const MODES = ["stored cursor", "RESUME 0", "RESUME N", "RESUME -1", "RESUME N, live", "new device"] as const;
export type RaceMode = (typeof MODES)[number];

export interface RaceReport {
  /** Over all connections, and over what each user's devices got in all. */
  readonly faults: Verdict;
  /** Connects in which at least one entry was stored between their beginning and RESUME. */
  readonly intoPublish: number;
  /** Connects that were given up before RESUME's answer. */
  readonly leftEarly: number;
  readonly races: number;
  /** Connects that the device's connection before took away again, since it was registered later; made anew. */
  readonly replaced: number;
  readonly byMode: Readonly<Record<RaceMode, { races: number; intoPublish: number }>>;
  readonly stored: number;
  readonly received: number;
  /** SENT, but not in the log exactly once. */
  readonly falseSent: number;
  readonly complaints: readonly string[];
  readonly seconds: number;
}

type MutableReport = { -readonly [K in keyof RaceReport]: RaceReport[K] } & { complaints: string[] };

const MAX_LIVE_MS = 15;
const MAX_PAUSE_MS = 5;
const EARLY_SHARE = 0.05;
const ACKNOWLEDGE_SHARE = 0.6;
const NEAR_MS = 200;
const MAX_SHOWN = 20;

/** Devices connect, ask, leave and come again while a publisher writes to their users; then the logs tell what was right. */
export async function runRaces(target: RaceTarget, options: RaceOptions): Promise<RaceReport> {
  const startedMs = nowMs();
  const report: MutableReport = {
    faults: noFaults(),
    intoPublish: 0,
    leftEarly: 0,
    races: 0,
    replaced: 0,
    byMode: Object.fromEntries(MODES.map((mode) => [mode, { races: 0, intoPublish: 0 }])) as RaceReport["byMode"],
    stored: 0,
    received: 0,
    falseSent: 0,
    complaints: [],
    seconds: 0,
  };
  let left = options.races;
  const take = (): boolean => {
    options.onProgress?.(options.races - left);
    return left-- > 0;
  };
  const work = async (worker: number): Promise<void> => {
    const random = createRandom(options.seed + worker);
    const from = `race-from-${worker}@x`;
    const publisher = await RacePublisher.open({
      port: target.ports[worker % target.ports.length] as number,
      token: await target.token(from, "writer", "no-copy"),
      random,
    });
    try {
      for (let generation = 0; left > 0; generation++) {
        const user = new RaceUser(target, { eid: `race-${worker}-${generation}@x`, worker, random, report });
        publisher.start(user.eid);
        for (let race = 0; race < options.racesPerUser && take(); race++) await user.race();
        await publisher.stop();
        await user.finish(publisher.confirmed);
      }
    } finally {
      publisher.close();
    }
  };
  await Promise.all(Array.from({ length: options.workers }, (_, worker) => work(worker)));
  report.seconds = (nowMs() - startedMs) / 1_000;
  return report;
}

/** One user whose devices come and go. */
class RaceUser {
  readonly eid: string;
  readonly #target: RaceTarget;
  readonly #worker: number;
  readonly #random: Random;
  readonly #report: MutableReport;
  readonly #connects: { mode: RaceMode; isRace: boolean; stretches: readonly Stretch[] }[] = [];
  readonly #phone: string[] = [];
  /** What the phone acknowledged, and the last that came to it. */
  #acknowledged = 0;
  #last = 0;
  #devices = 0;

  constructor(target: RaceTarget, o: { eid: string; worker: number; random: Random; report: MutableReport }) {
    this.eid = o.eid;
    this.#target = target;
    this.#worker = o.worker;
    this.#random = o.random;
    this.#report = o.report;
  }

  async race(): Promise<void> {
    await delay(this.#random.next() * MAX_PAUSE_MS);
    // The user's very first device has to begin at the beginning of the log.
    const mode = this.#connects.length === 0 ? "stored cursor" : this.#random.pick(MODES);
    const leavesEarly = this.#connects.length > 0 && this.#random.next() < EARLY_SHARE;
    const connection = await this.#connect(mode);
    try {
      await connection.open();
      if (leavesEarly) {
        await delay(this.#random.next() * MAX_PAUSE_MS);
        this.#report.leftEarly++;
        return;
      }
      await connection.resumed();
      await delay(this.#random.next() * MAX_LIVE_MS);
      const { begin, indexes } = connection.stretches[0] as Stretch;
      if (mode === "RESUME N, live" && begin !== "head" && indexes.length > 0) {
        // Never the newest: the first that comes again shall be known by going back.
        await connection.again(this.#random.pick([begin.after, ...indexes.slice(0, -1)]));
        await delay(this.#random.next() * MAX_LIVE_MS);
      }
      if (mode !== "new device") await this.#acknowledge(connection);
    } catch (error) {
      if (!connection.replaced) connection.complaints.push(String(error));
    } finally {
      connection.close();
      this.#note(mode, connection, !connection.replaced);
    }
    if (!connection.replaced) return;
    this.#report.replaced++;
    await this.race();
  }

  /** The phone fetches what is left; then everything is judged. */
  async finish(confirmed: readonly string[]): Promise<void> {
    const log = await readStoredLog(this.#target.nc, this.eid, this.#target.partitions);
    const connection = await this.#connect("stored cursor");
    await connection.open();
    await connection.resumed();
    connection.close();
    this.#note("stored cursor", connection, false);
    const report = this.#report;
    for (const { mode, isRace, stretches } of this.#connects) {
      for (const stretch of stretches) {
        const faults = judge(stretch, log);
        addTo(report.faults, faults);
        if (Object.values(faults).some((count) => count > 0)) {
          report.complaints.push(`${this.eid} ${mode}: ${describe(stretch, faults, log)}`);
        }
      }
      if (!isRace) continue;
      const [first] = stretches;
      report.races++;
      report.byMode[mode].races++;
      if (first === undefined || !fellIntoPublish(first, log)) continue;
      report.intoPublish++;
      report.byMode[mode].intoPublish++;
    }
    const got = new Set(this.#phone);
    report.faults.missing += log.filter(({ id }) => !got.has(id)).length;
    report.stored += log.length;
    report.received += this.#connects
      .flatMap(({ stretches }) => stretches.map((one) => one.indexes.length))
      .reduce(sum, 0);
    const times = new Map<string, number>();
    for (const { id } of log) times.set(id, (times.get(id) ?? 0) + 1);
    report.falseSent += confirmed.filter((id) => times.get(id) !== 1).length;
  }

  /** Acknowledgements stay on one gateway: another one may not have heard of them yet, and would rightly repeat. */
  async #connect(mode: RaceMode): Promise<RaceConnection> {
    const { ports } = this.#target;
    const home = this.#worker % ports.length;
    const roams = mode !== "stored cursor" && mode !== "RESUME 0";
    const device = mode === "new device" ? `device-${++this.#devices}` : "phone";
    const token = await this.#target.token(this.eid, device);
    const ask = {
      "RESUME 0": 0n,
      "RESUME N": BigInt(this.#last),
      "RESUME -1": -1n,
      "RESUME N, live": BigInt(this.#last),
    };
    const begin: Record<RaceMode, Begin> = {
      "stored cursor": { after: this.#acknowledged },
      "RESUME 0": { after: this.#acknowledged },
      "RESUME N": { after: this.#last > 0 ? this.#last : this.#acknowledged },
      "RESUME -1": { after: 0 },
      "RESUME N, live": { after: this.#last > 0 ? this.#last : this.#acknowledged },
      "new device": "head",
    };
    return new RaceConnection({
      port: ports[roams ? this.#random.whole(0, ports.length - 1) : home] as number,
      token,
      localAddress: `127.0.0.${2 + (this.#worker % 200)}`,
      begin: begin[mode],
      ...(mode in ask && { ask: ask[mode as keyof typeof ask] }),
    });
  }

  async #acknowledge(connection: RaceConnection): Promise<void> {
    const home = this.#target.ports[this.#worker % this.#target.ports.length];
    if (connection.port !== home || this.#random.next() > ACKNOWLEDGE_SHARE) return;
    const came = connection.stretches.flatMap(({ indexes }) => indexes);
    if (came.length === 0) return;
    const index = this.#random.pick(came);
    await connection.acknowledge(index);
    this.#acknowledged = Math.max(this.#acknowledged, index);
  }

  #note(mode: RaceMode, connection: RaceConnection, isRace: boolean): void {
    const { stretches, complaints } = connection;
    this.#connects.push({ mode, isRace, stretches });
    this.#report.complaints.push(...complaints.map((text) => `${this.eid} ${mode}: ${text}`));
    if (mode === "new device") return;
    this.#last = Math.max(this.#last, connection.last);
    for (const { ids } of stretches) this.#phone.push(...ids);
  }
}

/** What a fault looks like, to be understood without a second run. */
function describe(stretch: Stretch, faults: Verdict, log: readonly Stored[]): string {
  const { begin, startedAtMs, resumed, firstPrevious, indexes } = stretch;
  const since = (ms: number): string => (ms - startedAtMs).toFixed(2);
  const near = log.filter(({ storedAtMs }) => Math.abs(storedAtMs - startedAtMs) < NEAR_MS);
  return JSON.stringify({
    faults,
    begin,
    firstPrevious,
    resumed: resumed && { index: resumed.index, ms: since(resumed.atMs) },
    came: indexes.slice(0, MAX_SHOWN),
    last: indexes.at(-1),
    stored: near.slice(-MAX_SHOWN).map(({ index, storedAtMs }) => `${index} at ${since(storedAtMs)}`),
  });
}

const sum = (a: number, b: number): number => a + b;
