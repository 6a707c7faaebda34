import type { Dice } from "./dice.js";
import type { Fault } from "./faults.js";
import type { RateLimits } from "../../services/gateway/src/limits/rates.js";
import type { Wire } from "./sockets.js";

/** One kind of run: who is there, what is sent, what goes wrong. */
export interface Scenario {
  readonly gateways: number;
  readonly users: number;
  /** Of each user. */
  readonly devices: number;
  readonly messages: number;
  /** They are sent, and faults happen, within so long. */
  readonly sendMs: number;
  /** Devices connect within so long. */
  readonly connectMs: number;
  readonly partitions: number;
  readonly replicas: number;
  readonly dedupeWindowMs: number;
  readonly sendDeadlineMs: number;
  /** How fast each session may send, and a user one and a half times; absent: as fast as they like. */
  readonly rates?: Readonly<Partial<RateLimits>>;
  /** Share of the devices whose outbox and position survive their process. */
  readonly keepers: number;
  readonly wire: (dice: Dice) => Wire;
  readonly faults: Readonly<Partial<Record<Fault, number>>>;
  /** From one fault to the next, on average. */
  readonly faultEveryMs: number;
  /** How long a fault's effects last at most. */
  readonly healMs: number;
}

/** Most devices are near; what is on its way for long is what others overtake. */
const fast = (dice: Dice): Wire => ({
  bufferBytes: 100_000,
  bytesPerMs: 1_000,
  latencyMs: dice.pick([3, 3, 3, 50, 400]),
});

const BASE = {
  gateways: 2,
  users: 3,
  devices: 2,
  messages: 50,
  sendMs: 4_000,
  connectMs: 1_500,
  partitions: 2,
  replicas: 3,
  dedupeWindowMs: 120_000,
  sendDeadlineMs: 12_000,
  keepers: 0.5,
  wire: fast,
  faultEveryMs: 300,
  healMs: 40_000,
} as const;

/** Each looks at one part of the promise; a seed picks one. */
export const SCENARIOS = {
  /** Copies lost, late and out of step with the pages, while devices connect. */
  catchUp: {
    ...BASE,
    connectMs: 4_000,
    faults: { copiesLost: 4, late: 2, stale: 3, slowReads: 2, answersLost: 1, socketCut: 2, natsCut: 1 },
  },
  /** Devices come and go, between several gateways. */
  reconnects: {
    ...BASE,
    gateways: 3,
    faultEveryMs: 120,
    faults: { socketCut: 8, deviceKill: 3, gatewayKill: 1, gatewayFreeze: 1, copiesLost: 1, serviceFreeze: 1 },
  },
  /** RESUME in live sessions, and claims to have had more than was handed over. */
  resumes: {
    ...BASE,
    faultEveryMs: 100,
    faults: { resume: 8, overstate: 2, copiesLost: 2, stale: 1, socketCut: 1, socketStall: 1 },
  },
  /** Slow readers with small buffers. */
  congestion: {
    ...BASE,
    messages: 120,
    users: 2,
    wire: (dice: Dice) => ({ bufferBytes: dice.int(200, 4_000), bytesPerMs: dice.between(0.5, 50), latencyMs: 3 }),
    faults: { socketStall: 6, deviceFreeze: 1, copiesLost: 2, slowReads: 2, stale: 1, resume: 1, socketCut: 1 },
  },
  /** NATS fails in every way, deadlines pass, clients repeat. */
  outages: {
    ...BASE,
    sendMs: 20_000,
    sendDeadlineMs: 6_000,
    faultEveryMs: 2_000,
    faults: { outage: 2, leader: 3, acksLost: 3, late: 2, natsCut: 3, natsStall: 2, gatewayKill: 1, answersLost: 1 },
  },
  /** Leaders change amid bursts. */
  elections: {
    ...BASE,
    users: 2,
    partitions: 1,
    messages: 80,
    sendMs: 8_000,
    faultEveryMs: 700,
    faults: { leader: 6, acksLost: 2, late: 1, copiesLost: 1, socketCut: 1 },
  },
  /** Streams without copies: deep lanes, servers that crash, connections that break. */
  pipelines: {
    ...BASE,
    replicas: 1,
    users: 2,
    partitions: 1,
    messages: 150,
    sendMs: 8_000,
    faultEveryMs: 700,
    faults: { natsCut: 5, outage: 2, acksLost: 3, late: 1, natsStall: 1 },
  },
  /** The stream's memory of ids is shorter than the time that a sender is away. */
  lateRepeats: {
    ...BASE,
    dedupeWindowMs: 8_000,
    sendMs: 40_000,
    sendDeadlineMs: 3_000,
    faultEveryMs: 4_000,
    keepers: 1,
    faults: {
      absent: 4,
      outage: 2,
      natsStall: 2,
      acksLost: 3,
      answersLost: 2,
      gatewayKill: 2,
      deviceKill: 2,
      socketCut: 3,
      deviceFreeze: 2,
    },
  },
  /** Devices send faster than they may: what is refused comes again, in its order. */
  limits: {
    ...BASE,
    messages: 100,
    sendMs: 6_000,
    rates: {
      messages: { perSecond: 4, burst: 3 },
      signals: { perSecond: 5, burst: 3 },
      bytes: { perSecond: 4_000, burst: 2_000 },
    },
    faultEveryMs: 1_000,
    faults: { socketCut: 3, acksLost: 1, outage: 1, copiesLost: 1, gatewayKill: 1, deviceKill: 1 },
  },
  /** Old entries go while devices read. */
  expiry: {
    ...BASE,
    faultEveryMs: 200,
    faults: { expire: 5, copiesLost: 3, slowReads: 2, stale: 1, socketCut: 2, resume: 2, deviceKill: 1 },
  },
} as const satisfies Record<string, Scenario>;

export type ScenarioName = keyof typeof SCENARIOS;

const NAMES = Object.keys(SCENARIOS) as ScenarioName[];

/** The scenario of a seed. */
export const scenarioOf = (seed: number): ScenarioName => NAMES[seed % NAMES.length] as ScenarioName;
