import type { Claims } from "@bimip/auth";
import {
  BUCKETS,
  BucketWatch,
  type FeedEntry,
  type Link,
  mergedRevocation,
  REVOCATION_KEY_KINDS,
  revocationKeys,
  type RevocationRecord,
  SUBJECTS,
} from "@bimip/nats";
import { tokenToName } from "@bimip/protocol";
import { alarmAt, type Logger } from "@bimip/runtime";
import { SessionsByJti } from "./sessions-by-jti.js";

/** By what a token is refused: its own id, its device, its account. */
export type RevokedBy = "jti" | "device" | "user";

/** What revocations know of a session. */
export interface Revocable {
  readonly claims: Claims;
  /** The device is being answered: the session has itself checked right after. */
  readonly leaving: boolean;
  /** Tells the device, and closes. */
  endRevoked(by: RevokedBy): void;
}

export interface RevocationsOptions {
  readonly users: {
    sessionsOf(eid: string): Iterable<Revocable>;
    sessionOf(eid: string, device: string): Revocable | undefined;
  };
  readonly logger: Pick<Logger, "error" | "warn">;
  /** How many are held. */
  readonly gauge: { set(count: number): void };
}

type Held = Pick<RevocationRecord, "atS" | "untilMs">;

/** So many sessions are ended in one go; others get their turn before the next. */
const SLICE = 50;
/** What has expired is looked for at most once in this time, or in a hundredth of a millisecond for each that is held. */
const SWEEP_MS = 1_000;
const SWEEP_MS_EACH = 0.01;

/**
 * All revocations, in memory, so that no token costs a question. What the bucket's feed tells is remembered until the last
 * token that it refuses has expired, and ends the sessions of such tokens.
 */
export class Revocations {
  readonly #o: RevocationsOptions;
  readonly #held = new Map<string, Held>();
  readonly #byJti = new SessionsByJti<Revocable>();
  readonly #suspects = new Set<Revocable>();
  #feed: BucketWatch | undefined;
  #ending = false;
  #sweepAtMs = Number.POSITIVE_INFINITY;
  #stopSweep: () => void = () => undefined;

  constructor(options: RevocationsOptions) {
    this.#o = options;
  }

  /** Resolves once everything is known that the bucket holds; follows it from then on. */
  async follow(link: Link): Promise<void> {
    this.#feed = await BucketWatch.open({
      link,
      bucket: BUCKETS.revocations,
      bell: SUBJECTS.revoked,
      onEntry: (entry) => this.take(entry),
      onReset: () => this.onReset(),
      onError: (error) => this.#o.logger.warn({ err: error }, "revocations not read, trying again"),
    });
  }

  /** Resolves once everything up to this revision of the bucket is known here, or that takes too long. */
  async reached(revision: number): Promise<void> {
    await this.#feed?.reached(revision).catch(() => undefined);
  }

  /** What was revoked more than a moment ago is known; false: the bucket cannot be read now. */
  get current(): boolean {
    return this.#feed?.current ?? false;
  }

  /** How many are held. */
  get size(): number {
    return this.#held.size;
  }

  /** By what the token is refused; undefined = it is not. */
  refusal({ eid, device, jti, issuedAtS }: Claims): RevokedBy | undefined {
    if (this.#held.size === 0) return undefined;
    if (this.#isTooOld(revocationKeys.user(eid), issuedAtS)) return "user";
    if (this.#isTooOld(revocationKeys.device(eid, device), issuedAtS)) return "device";
    if (jti !== undefined && this.#find(revocationKeys.jti(jti)) !== undefined) return "jti";
    return undefined;
  }

  /** From now on the session ends when its token is revoked, or was since it was looked at: that at the end of this turn. */
  hold(session: Revocable): void {
    const { jti } = session.claims;
    if (jti !== undefined) this.#byJti.add(revocationKeys.jti(jti), session);
    // Not at once: a session that begins is not known to its transport yet.
    queueMicrotask(() => {
      if (!session.leaving) this.check(session);
    });
  }

  /** It has ended, or gets another token now. */
  release(session: Revocable): void {
    const { jti } = session.claims;
    if (jti !== undefined) this.#byJti.remove(revocationKeys.jti(jti), session);
  }

  /** Ends the session if its token is revoked. */
  check(session: Revocable): void {
    const by = this.refusal(session.claims);
    if (by !== undefined) session.endRevoked(by);
  }

  /** What the bucket's feed tells. @throws Error when it is no revocation */
  take({ key, bytes }: FeedEntry): void {
    if (bytes.length === 0) return this.#forget(key);
    const sessions = this.#sessionsOf(key);
    const told = readRecord(key, bytes);
    const before = this.#held.get(key);
    // Whoever wrote it: what is refused already is never let in again.
    const held = before === undefined ? told : mergedRevocation(before, told);
    this.#held.set(key, held);
    this.#o.gauge.set(this.#held.size);
    this.#expire(held.untilMs);
    for (const session of sessions) this.#suspects.add(session);
    if (!this.#ending) this.#endSome();
  }

  /** The bucket was made anew: what it held before still counts. */
  onReset(): void {
    if (this.#held.size === 0) return;
    this.#o.logger.error(
      { held: this.#held.size },
      "the bucket of revocations was made anew: this gateway goes on with those that it held, until it is started again",
    );
  }

  stop(): void {
    this.#feed?.stop();
    this.#stopSweep();
    this.#suspects.clear();
  }

  #find(key: string): Held | undefined {
    const held = this.#held.get(key);
    return held !== undefined && (held.untilMs === 0 || held.untilMs > Date.now()) ? held : undefined;
  }

  /** A token that does not say when it was issued may be older than any revocation. */
  #isTooOld(key: string, issuedAtS: number | undefined): boolean {
    const held = this.#find(key);
    return held !== undefined && (issuedAtS === undefined || issuedAtS <= held.atS);
  }

  #sessionsOf(key: string): Iterable<Revocable> {
    const { users } = this.#o;
    const [kind, eid = "", device = ""] = key.split(".");
    if (kind === REVOCATION_KEY_KINDS.jti) return this.#byJti.of(key);
    if (kind === REVOCATION_KEY_KINDS.user) return users.sessionsOf(tokenToName(eid));
    if (kind !== REVOCATION_KEY_KINDS.device) throw new Error(`${key} is no key of a revocation`);
    const session = users.sessionOf(tokenToName(eid), tokenToName(device));
    return session === undefined ? [] : [session];
  }

  /** An account may have thousands of devices here: they end in slices, so that others do not wait. */
  #endSome(): void {
    let left = SLICE;
    for (const session of this.#suspects) {
      if (left-- === 0) {
        this.#ending = true;
        setImmediate(() => this.#endSome());
        return;
      }
      this.#suspects.delete(session);
      if (!session.leaving) this.check(session);
    }
    this.#ending = false;
  }

  /** Somebody took it out of the bucket by hand. */
  #forget(key: string): void {
    this.#held.delete(key);
    this.#o.gauge.set(this.#held.size);
  }

  #expire(untilMs: number): void {
    if (untilMs === 0) return;
    const atMs = Math.max(untilMs, Date.now() + Math.max(SWEEP_MS, this.#held.size * SWEEP_MS_EACH));
    if (atMs >= this.#sweepAtMs) return;
    this.#sweepAtMs = atMs;
    this.#stopSweep();
    this.#stopSweep = alarmAt(atMs, () => this.#sweep());
  }

  #sweep(): void {
    const nowMs = Date.now();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [key, { untilMs }] of this.#held) {
      if (untilMs === 0) continue;
      if (untilMs <= nowMs) this.#held.delete(key);
      else nextMs = Math.min(nextMs, untilMs);
    }
    this.#o.gauge.set(this.#held.size);
    this.#sweepAtMs = Number.POSITIVE_INFINITY;
    if (nextMs < Number.POSITIVE_INFINITY) this.#expire(nextMs);
  }
}

function readRecord(key: string, bytes: Uint8Array): Held {
  const { atS, untilMs } = JSON.parse(Buffer.from(bytes).toString()) as Partial<RevocationRecord>;
  if (typeof atS !== "number" || typeof untilMs !== "number") throw new Error(`the value of ${key} is no revocation`);
  return { atS, untilMs };
}
