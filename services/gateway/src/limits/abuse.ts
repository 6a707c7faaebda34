import { BimipError, CloseCode, ErrorCode, ErrorOrigin, errorFrame } from "@bimip/protocol";
import { type Audit, type AuditReason, reasonOf } from "../audit.js";
import type { GatewayMetrics } from "../metrics.js";
import type { RateClass } from "./rates.js";
import { seconds } from "./seconds.js";

/** A client may have a lot under way when the first refusal comes: so long it is given to hear it, and so much is overlooked. */
const HEARING_MS = 1_000;
const MAX_UNHEARD = 1_000;
/** Part of the window without a refusal, after which the client is taken to have listened. */
const QUIET_SHARE = 0.25;

/** What is noted of a session whose stanzas were refused. */
export class Refused {
  readonly #toldUntilMs = new Map<RateClass, number>();
  /** Times are those of performance.now(): of the last one, of the first after a while without any, of the first that is counted. */
  #lastMs = Number.NEGATIVE_INFINITY;
  #beganMs = 0;
  #countedMs = 0;
  #unheard = 0;
  #count = 0;

  /** One more; how many there were within the time that the client could have left out. */
  add(windowMs: number): number {
    const nowMs = performance.now();
    const isNew = nowMs - this.#lastMs > windowMs * QUIET_SHARE;
    this.#lastMs = nowMs;
    if (isNew) {
      this.#beganMs = nowMs;
      this.#unheard = 0;
    }
    if (isNew || nowMs - this.#countedMs >= windowMs) {
      this.#countedMs = nowMs;
      this.#count = 0;
    }
    const isUnheard = nowMs - this.#beganMs <= HEARING_MS && ++this.#unheard <= MAX_UNHEARD;
    return isUnheard ? this.#count : ++this.#count;
  }

  /** false: the client was told just now when it may send such stanzas again, and the time is not over. */
  tell(name: RateClass, waitMs: number): boolean {
    const nowMs = performance.now();
    if (nowMs < (this.#toldUntilMs.get(name) ?? 0)) return false;
    this.#toldUntilMs.set(name, nowMs + waitMs);
    return true;
  }
}

/** What abuse needs of a session. */
export interface Suspect {
  readonly eid: string;
  readonly device: string;
  readonly address: string;
  readonly ended: boolean;
  readonly refused: Refused;
  send(frame: Uint8Array): void;
  close(code: number, reason: string): void;
}

export interface AbuseOptions {
  /** So many refused stanzas within the time end a session; 0 = never. */
  readonly refusals: number;
  readonly windowMs: number;
  readonly audit: Pick<Audit, "refused">;
  readonly metrics: Pick<GatewayMetrics, "errors" | "abuseClosed">;
}

/** Watches what sessions are refused: tells the audit, and ends those who go on and on. Their account stays out for a while. */
export class Abuse {
  readonly #o: AbuseOptions;
  /** Until when (performance.now()), by EID. All for the same time, so the first one ends first. */
  readonly #barred = new Map<string, number>();

  constructor(options: AbuseOptions) {
    this.#o = options;
  }

  /** A stanza of the session was refused with this error. */
  note(session: Suspect, error: BimipError): void {
    const reason = reasonOf(error.code);
    if (reason === undefined) return;
    this.#tellAudit(reason, session, error.code, error.details);
    if (error.code !== ErrorCode.MALFORMED && error.code !== ErrorCode.TOO_FAST) return;
    if (!session.ended && this.#isTooMuch(session)) this.#end(session);
  }

  /** Milliseconds for which this account may not connect; 0 = it may. */
  barredMs(eid: string): number {
    if (this.#barred.size === 0) return 0;
    const nowMs = performance.now();
    return Math.max(0, (this.#barred.get(eid) ?? nowMs) - nowMs);
  }

  /** Why, for HTTP 429 or an ErrorMessage. */
  barredDetails(ms: number): string {
    return `too many refused stanzas of this account, try again in ${seconds(ms)}`;
  }

  #isTooMuch({ refused }: Suspect): boolean {
    const { refusals, windowMs } = this.#o;
    return refusals > 0 && refused.add(windowMs) >= refusals;
  }

  #end(session: Suspect): void {
    const { refusals, windowMs, metrics } = this.#o;
    this.#bar(session.eid);
    const details = `closed for ${refusals} refused stanzas, try again in ${seconds(windowMs)}`;
    metrics.errors.inc({ code: ErrorCode.TOO_FAST });
    metrics.abuseClosed.inc();
    this.#tellAudit("abuse", session, CloseCode.ABUSE, details);
    session.send(errorFrame(new BimipError(ErrorCode.TOO_FAST, details), ErrorOrigin.CLIENT));
    session.close(CloseCode.ABUSE, details);
  }

  #bar(eid: string): void {
    const nowMs = performance.now();
    for (const [barred, untilMs] of this.#barred) {
      if (untilMs > nowMs) break;
      this.#barred.delete(barred);
    }
    this.#barred.delete(eid);
    this.#barred.set(eid, nowMs + this.#o.windowMs);
  }

  #tellAudit(reason: AuditReason, { eid, device, address }: Suspect, code: number, details: string): void {
    this.#o.audit.refused({ reason, code, eid, device, address, details });
  }
}
