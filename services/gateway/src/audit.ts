import { ErrorCode } from "@bimip/protocol";
import type { Counter, Logger } from "@bimip/runtime";

/** Why something was refused; a label of the metric, so the set is closed. */
export type AuditReason =
  /** No token, or one that does not let in. */
  | "token"
  /** The token was revoked. */
  | "revoked"
  /** The page's origin. */
  | "origin"
  /** Too many connections, or too fast. */
  | "connections"
  /** A session sends faster than it may. */
  | "rate"
  /** Closed for what it kept sending. */
  | "abuse"
  /** The gateway protects itself. */
  | "overload"
  /** Not this user's to do: 403. */
  | "forbidden"
  /** Bytes or fields that are no stanza: 400, 413, 422. */
  | "malformed";

const REASONS: Readonly<Partial<Record<number, AuditReason>>> = {
  [ErrorCode.MALFORMED]: "malformed",
  [ErrorCode.TOO_LARGE]: "malformed",
  [ErrorCode.FIELD_WRONG]: "malformed",
  [ErrorCode.NOT_ALLOWED]: "forbidden",
  [ErrorCode.TOO_FAST]: "rate",
};

/** What the audit calls a stanza's refusal with this ErrorCode; undefined where it does not concern security by itself. */
export function reasonOf(code: number): AuditReason | undefined {
  return REASONS[code];
}

/** One refusal. */
export interface Refusal {
  readonly reason: AuditReason;
  /** HTTP status, ErrorCode or close code; what a stranger sent and is no stanza keeps its own code, though he gets 401. */
  readonly code: number;
  /** Of the session; "" where nobody has authenticated. */
  readonly eid: string;
  readonly device: string;
  readonly address: string;
  /** The text that the peer got, which begins with the field at fault. What the field held is left out of the event. */
  readonly details: string;
}

/** What is refused for the same reason to the same peer within this time is one event: a flood must not become one of log lines. */
const GATHER_MS = 1_000;
/** Peers and reasons within that time that get an event each; a flood from everywhere must not become one either. */
const MAX_PEERS = 1_000;
const MAX_DETAILS = 200;
/** So much of the text is looked at. */
const MAX_READ = 1_000;

interface Gathered {
  last: Refusal;
  repeats: number;
}

/**
 * One structured log line (`audit`) for each refusal: at once the first one of a peer and reason, a second later one with
 * how many more there were (`repeats`). Never holds a token, a key, or what a stanza carries.
 */
export class Audit {
  readonly #logger: Logger;
  readonly #refusals: Counter;
  readonly #gathered = new Map<string, Gathered>();
  /** Refusals of peers beyond those that are gathered one by one. */
  readonly #beyond = new Map<AuditReason, number>();
  #timer: NodeJS.Timeout | undefined;

  /** @param refusals labelled with `reason` */
  constructor(logger: Logger, refusals: Counter) {
    this.#logger = logger;
    this.#refusals = refusals;
  }

  refused(refusal: Refusal): void {
    const { reason, eid, address } = refusal;
    this.#refusals.inc({ reason });
    this.#timer ??= setTimeout(() => this.#flush(), GATHER_MS).unref();
    // Nobody may hide a stranger's refusals behind an EID that looks like an address.
    const key = eid === "" ? `${reason} address ${address}` : `${reason} eid ${eid}`;
    const gathered = this.#gathered.get(key);
    if (gathered !== undefined) {
      gathered.last = refusal;
      gathered.repeats++;
    } else if (this.#gathered.size < MAX_PEERS) {
      this.#gathered.set(key, { last: refusal, repeats: 0 });
      this.#write(refusal, 0);
    } else this.#beyond.set(reason, (this.#beyond.get(reason) ?? 0) + 1);
  }

  /** What was gathered is written now. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#flush();
  }

  #flush(): void {
    this.#timer = undefined;
    for (const { last, repeats } of this.#gathered.values()) if (repeats > 0) this.#write(last, repeats);
    this.#gathered.clear();
    const nobody = { code: 0, eid: "", device: "", address: "", details: "of more peers than are named" };
    for (const [reason, repeats] of this.#beyond) this.#write({ reason, ...nobody }, repeats);
    this.#beyond.clear();
  }

  #write(refusal: Refusal, repeats: number): void {
    const { reason, code, eid, device, address } = refusal;
    const details = withoutValues(refusal.details.slice(0, MAX_READ)).slice(0, MAX_DETAILS);
    const told = { reason, code, eid, device, address, details };
    this.#logger.warn({ audit: repeats === 0 ? told : { ...told, repeats } }, "refused");
  }
}

/** A coordinate, a number or a quoted text behind "is" came from the peer: nobody's log needs it. */
function withoutValues(details: string): string {
  return details.replace(/"(?:[^"\\]|\\.)*"?/g, '"…"').replace(/: is (?:-?\d[\d.e+-]*|-?Infinity|NaN)/g, ": is …");
}
