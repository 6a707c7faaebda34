import type { Random } from "./random.js";

/** A service that has several processes. */
export type Role = "gateway" | "router" | "storage" | "awareness";

/** What goes wrong. `pick` chooses among what there is when the fault begins: a process, a node, a partition. */
export type Fault =
  /**
   * kill -9; a service is started again at once by its supervisor, a NATS node after `downMs`: often before anyone noticed that
   * a leader is missing. `untilElected`: once another node leads.
   */
  | {
      readonly kind: "kill";
      readonly what: Role | "nats" | "leader";
      readonly pick: number;
      readonly downMs: number;
      readonly untilElected?: true;
    }
  /** SIGSTOP, and SIGCONT after `forMs`. */
  | { readonly kind: "pause"; readonly what: Role | "nats" | "leader"; readonly pick: number; readonly forMs: number }
  /** The routes of one NATS node end, or fall silent. */
  | { readonly kind: "cut routes"; readonly pick: number; readonly silent: boolean; readonly forMs: number }
  | { readonly kind: "slow routes"; readonly pick: number; readonly delayMs: number; readonly forMs: number }
  /** Devices stop reading, while much is sent to them. */
  | { readonly kind: "freeze readers"; readonly picks: readonly number[]; readonly forMs: number }
  | { readonly kind: "slow readers"; readonly picks: readonly number[]; readonly forMs: number }
  /** What devices send arrives, what they are answered does not, then their connections are gone. */
  | { readonly kind: "vanish"; readonly picks: readonly number[]; readonly forMs: number }
  /** Neither side of a connection hears of the other, nor of its end. */
  | { readonly kind: "half-open"; readonly picks: readonly number[]; readonly forMs: number };

export type FaultKind = Fault["kind"];

/** A fault and how long after the one before it begins. */
export interface PlannedFault {
  readonly fault: Fault;
  readonly afterMs: number;
}

const PAUSE_MS = [1_000, 10_000] as const;
const CUT_MS = [1_000, 8_000] as const;
const DOWN_MS = [200, 3_000] as const;
const GAP_MS = [300, 2_700] as const;
const MOST_DEVICES = 4;
/** Larger than every number of things to choose from, so that `pick % length` is even enough. */
const PICK = 2 ** 20;

type Make = (random: Random) => Fault;

const pick = (random: Random): number => random.whole(0, PICK);
const picks = (random: Random): number[] => Array.from({ length: random.whole(2, MOST_DEVICES) }, () => pick(random));
const kill =
  (what: Role | "nats" | "leader") =>
  (random: Random): Fault & { kind: "kill" } => ({
    kind: "kill",
    what,
    pick: pick(random),
    downMs: random.whole(...DOWN_MS),
  });
const pause =
  (what: Role | "nats" | "leader"): Make =>
  (random) => ({ kind: "pause", what, pick: pick(random), forMs: random.whole(...PAUSE_MS) });
const cutRoutes: Make = (random) => ({
  kind: "cut routes",
  pick: pick(random),
  silent: random.next() < 0.5,
  forMs: random.whole(...CUT_MS),
});
const slowRoutes: Make = (random) => ({
  kind: "slow routes",
  pick: pick(random),
  delayMs: random.whole(20, 400),
  forMs: random.whole(...CUT_MS),
});
const toDevices =
  (kind: "freeze readers" | "slow readers" | "vanish" | "half-open", forMs: readonly [number, number]): Make =>
  (random) => ({ kind, picks: picks(random), forMs: random.whole(...forMs) });

/** In every run, however short: an election, a lost gateway, a lost SENT, a split cluster. */
const ALWAYS: readonly Make[] = [
  (random) => ({ ...kill("leader")(random), untilElected: true }),
  kill("gateway"),
  toDevices("vanish", [50, 600]),
  cutRoutes,
];
const OTHERS: readonly Make[] = [
  kill("leader"),
  pause("leader"),
  pause("leader"),
  kill("nats"),
  pause("nats"),
  cutRoutes,
  slowRoutes,
  kill("gateway"),
  pause("gateway"),
  kill("router"),
  pause("router"),
  kill("storage"),
  pause("storage"),
  kill("awareness"),
  pause("awareness"),
  toDevices("freeze readers", [1_000, 10_000]),
  toDevices("slow readers", [1_000, 8_000]),
  toDevices("vanish", [50, 600]),
  toDevices("half-open", [1_000, 10_000]),
];

/** The same seed gives the same faults. */
export function planFaults(random: Random, count: number): PlannedFault[] {
  const makes = [...ALWAYS];
  while (makes.length < count) makes.push(...random.shuffle(OTHERS).slice(0, count - makes.length));
  return random
    .shuffle(makes.slice(0, count))
    .map((make) => ({ fault: make(random), afterMs: random.whole(...GAP_MS) }));
}

/** Whether it concerns NATS itself: never more than one node of three is affected at a time. */
export function concernsNats(fault: Fault): boolean {
  if (fault.kind === "cut routes" || fault.kind === "slow routes") return true;
  return (fault.kind === "kill" || fault.kind === "pause") && (fault.what === "nats" || fault.what === "leader");
}
