import { JetStreamApiCodes, JetStreamApiError, type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
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
  readonly #kv: KV;
  readonly #jsm: JetStreamManager;
  readonly #bucket: string;

  private constructor(bucket: string, kv: KV, jsm: JetStreamManager) {
    this.#bucket = bucket;
    this.#kv = kv;
    this.#jsm = jsm;
  }

  /** @param bucket made by `ensureTopology` */
  static async open(nc: NatsConnection, bucket: string): Promise<CasBucket> {
    return new CasBucket(bucket, await new Kvm(nc).open(bucket), await jetstreamManager(nc, { checkAPI: false }));
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
   */
  async write(key: string, bytes: Uint8Array, revision: number): Promise<number | undefined> {
    try {
      return await this.#kv.put(key, bytes, { previousSeq: revision });
    } catch (error) {
      if (isConflict(error)) return undefined;
      throw error;
    }
  }

  /** Takes the value away and leaves no trace of it. */
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
