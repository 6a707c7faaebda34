import { setTimeout as delay } from "node:timers/promises";
import { type CasBucket, NO_REVISION } from "@bimip/nats";
import type { Revised } from "./directory.js";

/** What a change came to. */
export interface Changed<T> {
  /** As it stands now; undefined = there is none. */
  readonly record: T | undefined;
  readonly revision: number;
  /** false: it stood so already. */
  readonly changed: boolean;
}

export type RecordBucket = Pick<CasBucket, "read" | "write">;

const MAX_TRIES = 20;
const RETRY_MS = 5;

/**
 * Changes a JSON value by compare-and-set, as often as somebody else writes in between.
 *
 * @param known what it probably is, from memory; undefined: it is read
 * @param next the new value for the current one, undefined to leave it; told the revision of the current one, too
 * @throws Error when NATS does not answer, or somebody else was faster every time
 */
export async function changeRecord<T>(
  bucket: RecordBucket,
  key: string,
  known: Revised<T> | undefined,
  next: (current: T | undefined, revision: number) => T | undefined,
): Promise<Changed<T>> {
  let current = known ?? (await read<T>(bucket, key));
  for (let attempt = 1; attempt <= MAX_TRIES; attempt++) {
    const record = next(current?.record, current?.revision ?? NO_REVISION);
    if (record === undefined) {
      // What was known from memory may be behind.
      const fresh = attempt === 1 && known !== undefined ? await read<T>(bucket, key) : current;
      if (fresh?.revision === current?.revision) {
        return { record: current?.record, revision: current?.revision ?? NO_REVISION, changed: false };
      }
      current = fresh;
      continue;
    }
    const bytes = Buffer.from(JSON.stringify(record));
    const revision = await bucket.write(key, bytes, current?.revision ?? NO_REVISION);
    if (revision !== undefined) return { record, revision, changed: true };
    if (attempt > 1) await delay(Math.random() * RETRY_MS * attempt);
    current = await read<T>(bucket, key);
  }
  throw new Error(`a record of the awareness bucket could not be written in ${MAX_TRIES} tries`);
}

async function read<T>(bucket: RecordBucket, key: string): Promise<Revised<T> | undefined> {
  const value = await bucket.read(key);
  if (value === undefined) return undefined;
  return { record: JSON.parse(Buffer.from(value.bytes).toString()) as T, revision: value.revision };
}
