import type { TallyData } from "./tally.js";

/** What the attacking process is to do; it is deterministic but for how it interleaves. */
export interface AttackPlan {
  readonly port: number;
  readonly secret: string;
  readonly seed: number;
  readonly sessions: number;
  /** All sessions together, at most. */
  readonly framesPerSecond: number;
  /** The receiver: whom valid stanzas are for, beside the attackers. */
  readonly target: string;
  /** Of the bytes at which a conversation can be cut, one in so many is. */
  readonly cutEvery: number;
}

/** From the judge to the attacker. */
export type AttackOrder =
  | { readonly type: "plan"; readonly plan: AttackPlan }
  /** Until so many frames were sent in all; `cuts`: the conversations are cut meanwhile. */
  | { readonly type: "run"; readonly frames: number; readonly cuts: boolean };

/** From the attacker to the judge: it did what it was told to, or failed. */
export interface AttackReport {
  readonly tally: TallyData;
  /** What the receiver got, by kind. */
  readonly came: Readonly<Record<string, number>>;
  /** Why it could not go on; "" otherwise. */
  readonly failed: string;
  /** Of each session, what it sent last, as hex; only where something is wrong. */
  readonly last: readonly { readonly eid: string; readonly frames: readonly string[] }[];
}
