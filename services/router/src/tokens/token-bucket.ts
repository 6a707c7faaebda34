import { type CasBucket, stepMs } from "@bimip/nats";
import { setTimeout as delay } from "node:timers/promises";

/** What tokens need of a bucket. */
export type TokenBucket = Pick<CasBucket, "read" | "write" | "remove">;

/** As a bucket holds it. */
export interface Kept<T> {
  readonly record: T;
  readonly revision: number;
}

/** Beyond, values are kept without a time to live: nats-server's own limit is some 290 years. */
const MAX_TTL_S = 315_360_000;
const MAX_TRIES = 20;
const RETRY_MS = [0, 5, 10, 20, 40] as const;

/** The value of a key, JSON; undefined = there is none. */
export async function readRecord<T>(bucket: TokenBucket, key: string): Promise<Kept<T> | undefined> {
  const value = await bucket.read(key);
  // An operator's `nats kv del` leaves an empty value.
  if (value === undefined || value.bytes.length === 0) return undefined;
  return { record: JSON.parse(Buffer.from(value.bytes).toString()) as T, revision: value.revision };
}

/**
 * Tries as often as somebody else writes in between.
 *
 * @param attempt reads and writes; undefined = somebody else was faster
 * @throws Error when NATS does not answer, or somebody else was faster every time
 */
export async function untilWritten<T>(attempt: () => Promise<T | undefined>): Promise<T> {
  for (let failures = 0; failures < MAX_TRIES; failures++) {
    await delay(Math.random() * stepMs(RETRY_MS, failures));
    const done = await attempt();
    if (done !== undefined) return done;
  }
  throw new Error(`a record of tokens could not be written in ${MAX_TRIES} tries`);
}

/**
 * How long a value is kept that counts until `untilMs` (epoch milliseconds; 0 = for ever): a little longer, since a gateway's clock may be
 * behind ours. undefined = for ever.
 */
export function ttlS(untilMs: number, { nowMs, skewS }: { nowMs: number; skewS: number }): number | undefined {
  if (untilMs === 0) return undefined;
  const seconds = Math.max(Math.ceil((untilMs - nowMs) / 1_000), 0) + skewS;
  return seconds > MAX_TTL_S ? undefined : Math.max(seconds, 1);
}
