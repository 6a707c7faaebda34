import { setTimeout as delay } from "node:timers/promises";
import { type CasBucket, type LogEpochs, NO_REVISION, userKey } from "@bimip/nats";
import { decodeRecord, emptyRecord, encodeRecord, moveToEpoch, type UserRecord } from "./user-record.js";

export interface UserStoreOptions {
  /** BIMIP_USERS. */
  readonly bucket: CasBucket;
  readonly epochs: LogEpochs;
  /** A user has more devices than are kept. */
  readonly onForgotten: (eid: string, devices: readonly string[]) => void;
}

interface Waiting {
  readonly apply: (record: UserRecord) => void;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const MAX_TRIES = 20;
const RETRY_MS = 5;

/**
 * The records of the users. Every write is a compare-and-set, so any number of replicas may write at once; what one
 * process wants to change of the same user meanwhile goes into one write.
 */
export class UserStore {
  readonly #o: UserStoreOptions;
  /** Changes of a user that wait for the write under way. */
  readonly #waiting = new Map<string, Waiting[]>();

  constructor(options: UserStoreOptions) {
    this.#o = options;
  }

  /** The user's record as one of today's log; empty for a user who was never seen. */
  async read(eid: string): Promise<UserRecord> {
    return (await this.#read(eid)).record;
  }

  /**
   * Changes the user's record and answers with what `change` returned, once that is stored. `change` gets the record
   * as one of today's log; it may run several times and must do nothing but change the record.
   *
   * @throws Error when the record cannot be read or written; it may have been written all the same
   */
  change<T>(eid: string, change: (record: UserRecord) => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let result: T;
      const waiting: Waiting = {
        apply: (record) => {
          result = change(record);
        },
        resolve: () => resolve(result),
        reject,
      };
      const line = this.#waiting.get(eid);
      if (line === undefined) {
        this.#waiting.set(eid, [waiting]);
        void this.#writeAll(eid);
      } else {
        line.push(waiting);
      }
    });
  }

  async #writeAll(eid: string): Promise<void> {
    for (let line = this.#waiting.get(eid) ?? []; line.length > 0; line = this.#waiting.get(eid) ?? []) {
      this.#waiting.set(eid, []);
      try {
        await this.#write(eid, line);
        for (const { resolve } of line) resolve();
      } catch (error) {
        for (const { reject } of line) reject(error);
      }
    }
    this.#waiting.delete(eid);
  }

  async #write(eid: string, changes: readonly Waiting[]): Promise<void> {
    for (let attempt = 1; attempt <= MAX_TRIES; attempt++) {
      const { record, bytes: before, revision } = await this.#read(eid);
      for (const { apply } of changes) apply(record);
      const { bytes, forgotten } = encodeRecord(record);
      if (before !== undefined && Buffer.compare(before, bytes) === 0) return;
      if (await this.#o.bucket.write(userKey(eid), bytes, revision)) {
        if (forgotten.length > 0) this.#o.onForgotten(eid, forgotten);
        return;
      }
      await delay(Math.random() * RETRY_MS * attempt); // another replica writes the same user
    }
    throw new Error(`the record of a user could not be written in ${MAX_TRIES} tries`);
  }

  async #read(eid: string): Promise<{ record: UserRecord; bytes: Uint8Array | undefined; revision: number }> {
    const { bucket, epochs } = this.#o;
    const [value, cached] = await Promise.all([bucket.read(userKey(eid)), epochs.of(eid)]);
    const record = value === undefined ? emptyRecord() : decodeRecord(value.bytes);
    // What is kept is never moved to another log on the word of a cache.
    const epoch = record.epoch === cached || record.epoch === 0 ? cached : await epochs.ask(eid);
    moveToEpoch(record, epoch);
    return { record, bytes: value?.bytes, revision: value?.revision ?? NO_REVISION };
  }
}
