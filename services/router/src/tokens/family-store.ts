import { NO_REVISION, type RefreshFamily, refreshKey } from "@bimip/nats";
import { nameToToken } from "@bimip/protocol";
import { type Kept, readRecord, type TokenBucket, ttlS } from "./token-bucket.js";

/** The families of refresh tokens, one for each device. */
export class FamilyStore {
  readonly #bucket: TokenBucket;
  readonly #skewS: number;

  /** @param bucket BIMIP_REFRESH */
  constructor(bucket: TokenBucket, skewS: number) {
    this.#bucket = bucket;
    this.#skewS = skewS;
  }

  read(eid: string, device: string): Promise<Kept<RefreshFamily> | undefined> {
    return readRecord(this.#bucket, refreshKey(eid, device));
  }

  /** Answers with the new revision; undefined = somebody else wrote since it was read. @param read undefined: there was none */
  write(
    eid: string,
    device: string,
    family: RefreshFamily,
    read: Kept<RefreshFamily> | undefined,
  ): Promise<number | undefined> {
    const ttl = ttlS(family.expiresAtMs, { nowMs: Date.now(), skewS: this.#skewS });
    const bytes = Buffer.from(JSON.stringify(family));
    return this.#bucket.write(refreshKey(eid, device), bytes, read?.revision ?? NO_REVISION, ttl);
  }

  /** No refresh token of the device is good any more; of no device of the account, where none is named. */
  end(eid: string, device: string | undefined): Promise<void> {
    return this.#bucket.remove(device === undefined ? `${nameToToken(eid)}.*` : refreshKey(eid, device));
  }
}
