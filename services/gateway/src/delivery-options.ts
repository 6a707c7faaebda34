import type { LogReader } from "@bimip/nats";
import type { GatewayMetrics } from "./metrics.js";
import type { ClientSocket } from "./ports.js";

/** A copy of a log entry that NATS republished. */
export interface LiveEntry {
  readonly index: number;
  /** Index of the entry before it in the same log; 0 = none, or expired. */
  readonly previous: number;
  readonly bytes: Uint8Array;
}

/** Why a session reads its log instead of the live copies; `position` = the periodic check found it behind. */
export type CatchUpReason = "connect" | "resume" | "gap" | "slow" | "reconnect" | "position" | "recreated";

/** Where a replay begins, and what its RESUME answer says of the log: Signal's `details`, `first_id` and `epoch`. */
export interface Start {
  /** Replay what lies behind this index. */
  readonly after: number;
  /** Also what this device sent itself. */
  readonly withOwn: boolean;
  /** Of the RESUME that asked; empty: nobody did. */
  readonly id: string;
  /** Oldest retained index, 0 = the log is empty. */
  readonly firstId: number;
  readonly epoch: number;
  /** What is lost past the device's position, in words; empty: nothing. */
  readonly details: string;
}

export interface DeliveryOptions {
  readonly eid: string;
  readonly device: string;
  /** encodeIdentityPrefix of the two. */
  readonly identityPrefix: Uint8Array;
  readonly socket: ClientSocket;
  readonly reader: Pick<LogReader, "head" | "page">;
  readonly metrics: GatewayMetrics;
  /** The log's head lies before what was handed over: is it still the same log? May start the delivery anew. */
  readonly onBack: () => void;
  /** A log that cannot be read, once until it can be; it is tried again. */
  readonly onError: (error: unknown) => void;
}
