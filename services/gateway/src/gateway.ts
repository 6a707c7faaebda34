import type { Link, LogReader, Publisher, Turns } from "@bimip/nats";
import type { Logger } from "@bimip/runtime";
import type { Audit } from "./audit.js";
import type { Authenticator } from "./authenticator.js";
import type { GatewayAwareness } from "./awareness/gateway-awareness.js";
import type { FlowPolicy } from "./flow-policy.js";
import type { LateResends } from "./late-resend.js";
import type { Abuse } from "./limits/abuse.js";
import type { Overload } from "./limits/overload.js";
import type { Rates } from "./limits/rates.js";
import type { GatewayMetrics } from "./metrics.js";
import type { Progress } from "./progress.js";
import type { ReceiptsGiven } from "./receipts-given.js";
import type { Registrations } from "./registration.js";
import type { Revocations } from "./revocations.js";
import type { Users } from "./users.js";

/** What sessions and handlers work with: one per process, passed down, never global. */
export interface Gateway {
  /** This gateway's name, stamped into `from.node`. */
  readonly node: string;
  /** This process: another one after every start. */
  readonly process: string;
  readonly partitions: number;
  readonly limits: {
    readonly maxStanzaBytes: number;
    readonly maxUnconfirmed: number;
    /** Of messages without their SENT. */
    readonly maxPendingBytesPerSession: number;
    readonly maxPendingBytes: number;
    readonly sendDeadlineMs: number;
    readonly authTimeoutMs: number;
    /** Push services that subscriptions may name; `*.` in front: any name under one. */
    readonly webPushHosts: readonly string[];
  };
  readonly link: Link;
  readonly publisher: Publisher;
  readonly reader: LogReader;
  readonly users: Users;
  readonly awareness: GatewayAwareness;
  readonly policy: FlowPolicy;
  readonly registrations: Registrations;
  readonly progress: Progress;
  readonly lateResends: LateResends;
  readonly receiptsGiven: ReceiptsGiven;
  readonly authenticator: Authenticator;
  readonly revocations: Revocations;
  readonly audit: Audit;
  /** Undefined: nobody is too fast. */
  readonly rates: Rates | undefined;
  readonly abuse: Abuse;
  readonly overload: Overload;
  readonly logger: Logger;
  readonly metrics: GatewayMetrics;
  /** True from the begin of the stop on: nobody is admitted. */
  readonly draining: boolean;
  /** Questions where sessions go on, a few at a time: after an outage all sessions ask. */
  readonly resumeInTurn: Turns;
  /** Messages without their SENT, of all sessions, ended ones too. */
  readonly pending: { bytes: number };
  /** Work that the stop waits for. */
  track(work: Promise<void>): void;
}
