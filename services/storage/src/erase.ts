import type { MessageInitShape } from "@bufbuild/protobuf";
import type { EraseRequest, EraseResponseSchema } from "@bimip/protocol";
import type { LogReader } from "@bimip/nats";
import type { ReceiptStore } from "./receipt-store.js";
import { type TrimParts, trim } from "./trim.js";

export interface EraseParts extends TrimParts {
  readonly reader: LogReader;
  readonly receipts: ReceiptStore;
}

/**
 * Forgets what is in a user's log, the receipts that the user gave, and where to push to. Devices and how far they got
 * stay: each is told what is gone. An entry that comes in meanwhile stays.
 */
export async function erase(
  parts: EraseParts,
  { eid }: EraseRequest,
): Promise<MessageInitShape<typeof EraseResponseSchema>> {
  const { epoch } = await parts.store.read(eid);
  const upTo = await parts.reader.head(eid);
  const trimmed = await trim(parts, {
    eid,
    upTo,
    epoch,
    also(record) {
      for (const device of record.devices.values()) device.subscription = "";
    },
  });
  if (trimmed === undefined) throw new Error("the log was recreated while it was erased");
  await parts.receipts.remove(eid);
  return { erased: BigInt(trimmed.entries), trimmedTo: BigInt(trimmed.trimmedTo) };
}
