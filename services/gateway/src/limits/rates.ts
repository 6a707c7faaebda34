import type { StanzaKind } from "@bimip/protocol";
import type { Rate } from "@bimip/runtime";
import { TokenRate } from "./token-bucket.js";

/** Stanzas that are counted together. */
const RATE_CLASSES = ["messages", "signals", "awareness", "location", "other"] as const;
export type RateClass = (typeof RATE_CLASSES)[number];

/** What has a limit: each class, and the bytes of all together. */
const RATE_LIMITS = [...RATE_CLASSES, "bytes"] as const;
export type RateLimit = (typeof RATE_LIMITS)[number];
const BYTES = RATE_LIMITS.indexOf("bytes");

const CLASS_OF: Readonly<Partial<Record<StanzaKind, RateClass>>> = {
  message: "messages",
  pushNotification: "messages",
  event: "messages",
  signal: "signals",
  awareness: "awareness",
  awarenessContact: "awareness",
  awarenessVisibility: "awareness",
  locationStream: "location",
};

/** Queries, pings, token and logout stanzas, and what is no stanza at all (undefined), are `other`. */
export function rateClassOf(kind: StanzaKind | undefined): RateClass {
  return (kind === undefined ? undefined : CLASS_OF[kind]) ?? "other";
}

/** Undefined: no limit. */
export type RateLimits = Readonly<Record<RateLimit, Rate | undefined>>;

/** There were no tokens. */
export interface TooFast {
  /** Of the bucket that lacks them for longest. */
  readonly limit: RateLimit;
  readonly of: "session" | "user";
  /** Tokens that come into it in a second. */
  readonly perSecond: number;
  /** Milliseconds until all buckets have them. */
  readonly waitMs: number;
}

/** A number for each limit: see TokenRate. */
type Marks = number[];
type Buckets = Map<string, Marks>;

/** Full buckets are forgotten so often; a device that pings now and then costs nothing in between. */
const SWEEP_MS = 2_000;

/**
 * How fast sessions may send, and all sessions of a user on this gateway together. Who sends nothing costs nothing: buckets
 * are made with the first stanza, and forgotten when they are full. A user's outlive the session.
 */
export class Rates {
  readonly #ofSession: readonly (TokenRate | undefined)[];
  readonly #ofUser: readonly (TokenRate | undefined)[];
  readonly #sessions: Buckets = new Map();
  readonly #users: Buckets = new Map();
  #timer: NodeJS.Timeout | undefined;

  private constructor(ofSession: RateLimits, ofUser: RateLimits) {
    this.#ofSession = compiled(ofSession);
    this.#ofUser = compiled(ofUser);
  }

  /** Undefined: nothing is limited. */
  static of(ofSession: RateLimits, ofUser: RateLimits): Rates | undefined {
    const isLimited = RATE_LIMITS.some((limit) => ofSession[limit] !== undefined || ofUser[limit] !== undefined);
    return isLimited ? new Rates(ofSession, ofUser) : undefined;
  }

  /** Buckets that are kept. */
  get size(): number {
    return this.#sessions.size + this.#users.size;
  }

  /**
   * Takes what one stanza costs, of the session and of its user: a token of its class, and one for each byte. Takes nothing
   * where one of them lacks it.
   *
   * @param nowMs performance.now()
   */
  take(session: string, eid: string, name: RateClass, bytes: number, nowMs: number): TooFast | undefined {
    const at = RATE_LIMITS.indexOf(name);
    const [own, shared] = [this.#sessions.get(session), this.#users.get(eid)];
    const isFree =
      hasTokens(this.#ofSession, own, at, bytes, nowMs) && hasTokens(this.#ofUser, shared, at, bytes, nowMs);
    if (!isFree) return this.#tooFast(own, shared, at, bytes, nowMs);
    const hasOwn = this.#ofSession[at] !== undefined || this.#ofSession[BYTES] !== undefined;
    if (hasOwn) charge(this.#ofSession, own ?? this.#make(this.#sessions, session), at, bytes, nowMs);
    const hasShared = this.#ofUser[at] !== undefined || this.#ofUser[BYTES] !== undefined;
    if (hasShared) charge(this.#ofUser, shared ?? this.#make(this.#users, eid), at, bytes, nowMs);
    return undefined;
  }

  /** The session ended. */
  forget(session: string): void {
    this.#sessions.delete(session);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #tooFast(own: Marks | undefined, shared: Marks | undefined, at: number, bytes: number, nowMs: number): TooFast {
    const missing = (
      [
        ["session", this.#ofSession, own],
        ["user", this.#ofUser, shared],
      ] as const
    ).flatMap(([of, rates, marks]) =>
      [at, BYTES].map((index) => ({
        limit: RATE_LIMITS[index] as RateLimit,
        of,
        perSecond: rates[index]?.perSecond ?? 0,
        waitMs: rates[index]?.waitMs(marks?.[index] ?? 0, nowMs, index === BYTES ? bytes : 1) ?? 0,
      })),
    );
    return missing.reduce((longest, one) => (one.waitMs > longest.waitMs ? one : longest));
  }

  #make(buckets: Buckets, key: string): Marks {
    // Of doubles from the beginning, since V8 keeps these side by side.
    const marks = [-0, -0, -0, -0, -0, -0];
    buckets.set(key, marks);
    this.#timer ??= setTimeout(() => this.#sweep(), SWEEP_MS).unref();
    return marks;
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const buckets of [this.#sessions, this.#users]) {
      for (const [key, marks] of buckets) if (marks.every((fullAtMs) => fullAtMs <= nowMs)) buckets.delete(key);
    }
    this.#timer = this.size === 0 ? undefined : setTimeout(() => this.#sweep(), SWEEP_MS).unref();
  }
}

type TokenRates = readonly (TokenRate | undefined)[];

/** Whether there are tokens for it. */
function hasTokens(rates: TokenRates, marks: Marks | undefined, at: number, bytes: number, nowMs: number): boolean {
  if (marks === undefined) return true;
  const stanzaWaitMs = rates[at]?.waitMs(marks[at] ?? 0, nowMs) ?? 0;
  return stanzaWaitMs === 0 && (rates[BYTES]?.waitMs(marks[BYTES] ?? 0, nowMs, bytes) ?? 0) === 0;
}

function charge(rates: TokenRates, marks: Marks, at: number, bytes: number, nowMs: number): void {
  marks[at] = rates[at]?.taken(marks[at] ?? 0, nowMs) ?? 0;
  marks[BYTES] = rates[BYTES]?.taken(marks[BYTES] ?? 0, nowMs, bytes) ?? 0;
}

function compiled(rates: RateLimits): TokenRates {
  return RATE_LIMITS.map((limit) => {
    const rate = rates[limit];
    return rate === undefined ? undefined : new TokenRate(rate);
  });
}
