import { setTimeout as delay } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ReceiptsGiven, ReceiptsRequest, ReceiptsResponseSchema } from "@bimip/protocol";
import { type CasBucket, type LogEpochs, NO_REVISION, userKey } from "@bimip/nats";
import { decodeReceipts, encodeReceipts, mergeReceipts, noReceipts, type Receipts } from "./receipts.js";

const MAX_TRIES = 20;
const RETRY_MS = 5;

/** Which receipts the users gave, in BIMIP_RECEIPTS: each is told once, also beyond JetStream's dedupe window. */
export class ReceiptStore {
  readonly #bucket: CasBucket;
  readonly #epochs: LogEpochs;

  constructor(bucket: CasBucket, epochs: LogEpochs) {
    this.#bucket = bucket;
    this.#epochs = epochs;
  }

  /** Remembers receipts for messages in the log of `epoch`; those of an older log give way. */
  async add(eid: string, epoch: number, given: readonly ReceiptsGiven[]): Promise<void> {
    for (let attempt = 1; attempt <= MAX_TRIES; attempt++) {
      const value = await this.#bucket.read(userKey(eid));
      const kept = receiptsOf(value?.bytes, epoch);
      const bytes = encodeReceipts(mergeReceipts(kept, toReceipts(epoch, given)));
      if (value !== undefined && Buffer.compare(value.bytes, bytes) === 0) return;
      if (await this.#bucket.write(userKey(eid), bytes, value?.revision ?? NO_REVISION)) return;
      await delay(Math.random() * RETRY_MS * attempt); // another replica writes the same user
    }
    throw new Error(`the receipts of a user could not be written in ${MAX_TRIES} tries`);
  }

  /** Answers the procedure `receipts`: what the user gave in today's log. */
  async given({ eid }: ReceiptsRequest): Promise<MessageInitShape<typeof ReceiptsResponseSchema>> {
    const [value, epoch] = await Promise.all([this.#bucket.read(userKey(eid)), this.#epochs.of(eid)]);
    const { byStatus } = receiptsOf(value?.bytes, epoch);
    const receipts = [...byStatus].map(([status, indexes]) => ({ status, indexes: indexes.map(BigInt) }));
    return { epoch: BigInt(epoch), receipts };
  }

  /** Forgets all that the user gave. */
  async remove(eid: string): Promise<void> {
    await this.#bucket.remove(userKey(eid));
  }
}

function receiptsOf(bytes: Uint8Array | undefined, epoch: number): Receipts {
  const stored = bytes === undefined ? undefined : decodeReceipts(bytes);
  return stored?.epoch === epoch ? stored : noReceipts(epoch);
}

function toReceipts(epoch: number, given: readonly ReceiptsGiven[]): Receipts {
  const byStatus = new Map<number, number[]>();
  for (const { status, indexes } of given) {
    const list = byStatus.get(status) ?? [];
    for (const index of indexes) list.push(Number(index));
    byStatus.set(status, list);
  }
  return { epoch, byStatus };
}
