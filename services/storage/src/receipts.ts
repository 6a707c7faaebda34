import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ReceiptsResponseSchema } from "@bimip/protocol";

/** Which receipts a user gave: by SignalStatus, the indexes of the messages, ascending. They belong to the log of `epoch`. */
export interface Receipts {
  readonly epoch: number;
  readonly byStatus: ReadonlyMap<number, readonly number[]>;
}

/** So many are kept of each status, the highest; older messages are told by JetStream's own dedupe window alone. */
export const MAX_PER_STATUS = 4_096;

export const noReceipts = (epoch: number): Receipts => ({ epoch, byStatus: new Map() });

/** What both say, of each status the highest {@link MAX_PER_STATUS}. */
export function mergeReceipts(kept: Receipts, given: Receipts): Receipts {
  if (kept.epoch !== given.epoch) throw new Error("receipts of two logs cannot be merged");
  const byStatus = new Map(kept.byStatus);
  for (const [status, indexes] of given.byStatus) {
    const all = new Set([...(kept.byStatus.get(status) ?? []), ...indexes]);
    byStatus.set(status, [...all].sort((a, b) => a - b).slice(-MAX_PER_STATUS));
  }
  return { epoch: kept.epoch, byStatus };
}

/** As stored: a ReceiptsResponse whose indexes are the distances from one to the next, mostly a byte or two each. */
export function encodeReceipts({ epoch, byStatus }: Receipts): Uint8Array {
  const receipts = [...byStatus].map(([status, indexes]) => ({
    status,
    indexes: indexes.map((index, at) => BigInt(index - (indexes[at - 1] ?? 0))),
  }));
  return toBinary(ReceiptsResponseSchema, create(ReceiptsResponseSchema, { epoch: BigInt(epoch), receipts }));
}

export function decodeReceipts(bytes: Uint8Array): Receipts {
  const { epoch, receipts } = fromBinary(ReceiptsResponseSchema, bytes);
  const byStatus = new Map<number, number[]>();
  for (const { status, indexes } of receipts) {
    let index = 0;
    byStatus.set(
      status,
      indexes.map((distance) => (index += Number(distance))),
    );
  }
  return { epoch: Number(epoch), byStatus };
}
