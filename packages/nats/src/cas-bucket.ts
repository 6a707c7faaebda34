import {
  type JetStreamClient,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
} from "@nats-io/jetstream";
import type { NatsConnection } from "./connect.js";

/** What a key holds, and the revision that a write must name. */
export interface CasValue {
  readonly bytes: Uint8Array;
  readonly revision: number;
}

/** A key that holds nothing has this revision. */
export const NO_REVISION = 0;

/**
 * A bucket whose values are changed by compare-and-set only. Reads ask the stream's leader: an answer of a replica that
 * lags would make every write after it fail.
 */
export class CasBucket {
  readonly #jsm: JetStreamManager;
  readonly #js: JetStreamClient;
  readonly #bucket: string;

  private constructor(bucket: string, jsm: JetStreamManager, js: JetStreamClient) {
    this.#bucket = bucket;
    this.#jsm = jsm;
    this.#js = js;
  }

  /** @param bucket made by `ensureTopology` */
  static async open(nc: NatsConnection, bucket: string): Promise<CasBucket> {
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    return new CasBucket(bucket, jsm, jetstream(nc, { checkAPI: false }));
  }

  async read(key: string): Promise<CasValue | undefined> {
    const subject = this.#subject(key);
    const message = await this.#jsm.streams.getMessage(`KV_${this.#bucket}`, { last_by_subj: subject });
    return message === null ? undefined : { bytes: message.data, revision: message.seq };
  }

  /**
   * Writes if the key still has `revision`; answers with the new revision, undefined when somebody else wrote in between. A
   * write that fails with an error may have been done all the same.
   *
   * @param revision as read, {@link NO_REVISION} for a key that held nothing
   * @param ttlS the value vanishes after so many seconds, 1 or more; absent: never. The bucket's stream must allow it
   */
  async write(key: string, bytes: Uint8Array, revision: number, ttlS?: number): Promise<number | undefined> {
    try {
      const expect = { lastSubjectSequence: revision };
      const ttl = ttlS === undefined ? {} : { ttl: `${ttlS}s` };
      return (await this.#js.publish(this.#subject(key), bytes, { expect, ...ttl })).seq;
    } catch (error) {
      if (isConflict(error)) return undefined;
      throw error;
    }
  }

  /** Whether a key that matches the pattern holds something, or did until it was deleted. */
  async holds(pattern: string): Promise<boolean> {
    const query = { seq: 1, next_by_subj: this.#subject(pattern) };
    return (await this.#jsm.streams.getMessage(`KV_${this.#bucket}`, query)) !== null;
  }

  /**
   * Takes the value away and leaves no trace of it.
   *
   * @param key or a pattern with `*` and `>`: the values of all such keys
   */
  async remove(key: string): Promise<void> {
    await this.#jsm.streams.purge(`KV_${this.#bucket}`, { filter: this.#subject(key) });
  }

  #subject(key: string): string {
    return `$KV.${this.#bucket}.${key}`;
  }
}

/** Somebody else wrote in between: the write named a sequence that is not the last one any more. */
export function isConflict(error: unknown): boolean {
  return (
    error instanceof JetStreamApiError &&
    (error.code === JetStreamApiCodes.StreamWrongLastSequence ||
      error.code === JetStreamApiCodes.StreamWrongLastSequenceUnknown)
  );
}
