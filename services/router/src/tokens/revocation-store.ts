import { mergedRevocation, NO_REVISION, revocationKeys, type RevocationRecord } from "@bimip/nats";
import { readRecord, type TokenBucket, ttlS, untilWritten } from "./token-bucket.js";

/** Revocations as they are stored: each only ever refuses more. */
export class RevocationStore {
  readonly #bucket: TokenBucket;
  readonly #skewS: number;

  /** @param bucket BIMIP_REVOCATIONS */
  constructor(bucket: TokenBucket, skewS: number) {
    this.#bucket = bucket;
    this.#skewS = skewS;
  }

  /**
   * Resolves when it is stored, with a revision at which it was. What stands is never taken back.
   *
   * @param key of `revocationKeys`
   * @throws Error when NATS does not answer; then it may be stored all the same
   */
  add(key: string, wanted: RevocationRecord): Promise<number> {
    return untilWritten(async () => {
      const kept = await readRecord<RevocationRecord>(this.#bucket, key);
      const record = kept === undefined ? wanted : mergedRevocation(kept.record, wanted);
      const stands = kept !== undefined && record.atS === kept.record.atS && record.untilMs === kept.record.untilMs;
      if (stands) return kept.revision;
      const ttl = ttlS(record.untilMs, { nowMs: Date.now(), skewS: this.#skewS });
      const bytes = Buffer.from(JSON.stringify(record));
      return this.#bucket.write(key, bytes, kept?.revision ?? NO_REVISION, ttl);
    });
  }

  /** The last second whose tokens are refused, of the account or the device; undefined = nothing was revoked. */
  async lastAtS(eid: string, device: string): Promise<number | undefined> {
    const keys = [revocationKeys.user(eid), revocationKeys.device(eid, device)];
    const kept = await Promise.all(keys.map((key) => readRecord<RevocationRecord>(this.#bucket, key)));
    const times = kept.flatMap((one) => (one === undefined ? [] : [one.record.atS]));
    return times.length === 0 ? undefined : Math.max(...times);
  }
}
