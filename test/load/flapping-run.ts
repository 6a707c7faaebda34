import { createRandom, type Random } from "../chaos/random.js";
import { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { acquaint, inBatches, untilTrue } from "./crowd.js";
import { Flapper } from "./flapper.js";

export interface FlappingTarget {
  /** Of the gateways, on 127.0.0.1; the observers are on the last one. */
  readonly ports: readonly number[];
  token(eid: string, device: string): Promise<string>;
}

export interface FlappingOptions {
  readonly devices: number;
  readonly observers: number;
  readonly seed: number;
  /** Some stay away so long: more than the system's grace period, if they are to count as gone. */
  readonly longAwayMs: number;
  /** The devices flap until it resolves. It may ask how often they have connected. */
  readonly meanwhile: (connects: () => number) => Promise<void>;
  /** Within which, at the end, all must be seen as it is. */
  readonly settleWithinMs: number;
  /** Distinguishes the users of several runs against one system. */
  readonly name?: string;
}

export interface FlappingReport {
  readonly users: number;
  readonly online: number;
  readonly connects: number;
  readonly refused: number;
  readonly lost: number;
  /** Changes and snapshots' entries that all observers together were told, while it lasted. */
  readonly told: number;
  /** Changes from one status to another among them. */
  readonly changes: number;
  /** From the last connect or end until every observer's picture was the truth. */
  readonly settledMs: number;
  readonly seconds: number;
}

/** Of the users, so many have a second device. */
const SECOND_DEVICE_SHARE = 1 / 3;
const MAX_STAY_MS = 30;
const MAX_AWAY_MS = 5;
const LONG_AWAY_SHARE = 0.1;

/** Devices flap; at the end some are connected, and every observer, new ones too, must see exactly those. @throws Error else. */
export async function runFlapping(target: FlappingTarget, options: FlappingOptions): Promise<FlappingReport> {
  const { name = "flap", longAwayMs, settleWithinMs } = options;
  const random = createRandom(options.seed);
  const names = namesOf(options, name);
  const url = `ws://127.0.0.1:${target.ports.at(-1)}/v1/ws`;
  const open = async (eid: string, device: string): Promise<Device> => {
    const opened = await Device.open(url, { token: await target.token(eid, device) });
    await opened.pictured();
    return opened;
  };
  const eids = [...new Set(names.map(({ eid }) => eid))];
  const observers = await inBatches(
    Array.from({ length: options.observers }, (_, at) => `${name}-observer-${at}@load`),
    (eid) => open(eid, "phone"),
  );
  const sockets: { close(): Promise<void> }[] = [...observers];
  const flappers: Flapper[] = [];
  try {
    const users = await inBatches(eids, (eid) => open(eid, "setup"));
    await acquaint(observers, users);
    await inBatches(users, (user) => user.close());
    for (const one of names) flappers.push(await makeFlapper(one, target, { random: random.fork(), longAwayMs }));
    const startedMs = performance.now();
    const before = count(observers);
    for (const flapper of flappers) flapper.start();
    const connects = (): number => sum(flappers, (flapper) => flapper.connects);
    await options.meanwhile(connects);
    const ends = flappers.map((flapper) => ({ flapper, connected: random.next() < 1 / 2 }));
    const truth = truthOf(ends);
    const end = (): Promise<unknown> => Promise.all(ends.map(({ flapper, connected }) => flapper.end(connected)));
    await end();
    const seconds = (performance.now() - startedMs) / 1_000;
    // A connection that was overtaken by its predecessor is closed by the server a moment later: made anew.
    const stable = keepUp(end);
    const settledMs = await untilTrue(observers, truth, settleWithinMs).finally(() => stable.stop());
    const after = count(observers);
    for (const { eid } of observers) {
      const later = await open(eid, "later");
      sockets.push(later);
      await untilTrue([later], truth, settleWithinMs);
    }
    // By now what was late would have come.
    await untilTrue(observers, truth, 1);
    return {
      users: eids.length,
      online: [...truth.values()].filter(Boolean).length,
      connects: connects(),
      refused: sum(flappers, ({ refused }) => refused),
      lost: sum(flappers, ({ lost }) => lost),
      told: after.told - before.told,
      changes: after.changes - before.changes,
      settledMs,
      seconds,
    };
  } finally {
    await Promise.all(flappers.map((flapper) => flapper.end(false)));
    await Promise.all(sockets.map((socket) => socket.close()));
  }
}

function namesOf({ devices }: FlappingOptions, name: string): { eid: string; device: string }[] {
  const names: { eid: string; device: string }[] = [];
  for (let user = 0; names.length < devices; user++) {
    const eid = `${name}-${user}@load`;
    names.push({ eid, device: "phone" });
    if (user % Math.round(1 / SECOND_DEVICE_SHARE) === 0 && names.length < devices)
      names.push({ eid, device: "laptop" });
  }
  return names;
}

async function makeFlapper(
  { eid, device }: { eid: string; device: string },
  target: FlappingTarget,
  { random, longAwayMs }: { random: Random; longAwayMs: number },
): Promise<Flapper> {
  return new Flapper({
    eid,
    device,
    token: await target.token(eid, device),
    ports: target.ports,
    random,
    maxStayMs: MAX_STAY_MS,
    maxAwayMs: MAX_AWAY_MS,
    longAwayMs,
    longAwayShare: LONG_AWAY_SHARE,
  });
}

function truthOf(ends: readonly { flapper: Flapper; connected: boolean }[]): Map<string, boolean> {
  const truth = new Map<string, boolean>();
  for (const { flapper, connected } of ends) truth.set(flapper.eid, connected || truth.get(flapper.eid) === true);
  return truth;
}

/** Sees to it again and again that the devices are as they are to be. */
function keepUp(end: () => Promise<unknown>): { stop(): void } {
  let stopped = false;
  void eventually(
    "stopped",
    async () => {
      await end();
      return stopped;
    },
    2 ** 31,
  );
  return {
    stop() {
      stopped = true;
    },
  };
}

function count(observers: readonly Device[]): { told: number; changes: number } {
  const told = sum(observers, ({ picture }) => picture.told.length);
  const changes = sum(observers, ({ picture }) => {
    const last = new Map<string, number>();
    let changes = 0;
    for (const { from, status } of picture.told) {
      const eid = from?.eid ?? "";
      if (last.has(eid) && last.get(eid) !== status) changes++;
      last.set(eid, status);
    }
    return changes;
  });
  return { told, changes };
}

function sum<T>(items: readonly T[], pick: (item: T) => number): number {
  return items.reduce((total, item) => total + pick(item), 0);
}
