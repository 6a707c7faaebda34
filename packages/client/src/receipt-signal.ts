import { encodeStanza, type Signal, SignalSchema, SignalType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";

type ReceiptParts = Partial<Pick<Signal, "id" | "status" | "monotonicId">> & { to?: { eid: string } };

/** The frame of a receipt or, without `id` and `to`, of a bare cursor. */
export function receiptFrame(parts: ReceiptParts): Uint8Array {
  const timestamp = BigInt(Date.now());
  return encodeStanza("signal", create(SignalSchema, { type: SignalType.REQUEST, timestamp, ...parts }));
}
