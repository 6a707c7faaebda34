import { AwarenessSchema, encodeStanza, STANZA_ROUTE } from "@bimip/protocol";
import { create, type MessageInitShape } from "@bufbuild/protobuf";

const DIGITS = 9;
const MARK = "#";

/** A status with a number in its details. */
export function markedAwareness(
  status: number,
  number: number,
  more: MessageInitShape<typeof AwarenessSchema> = {},
): Uint8Array {
  const details = MARK + String(number).padStart(DIGITS, "0");
  return encodeStanza("awareness", create(AwarenessSchema, { id: "flip", type: 1, status, details, ...more }));
}

/** The number in the details of an Awareness from the server; -1 for anything else. Nothing is decoded. */
export function flipOf(frame: Buffer): number {
  if (frame[1] !== STANZA_ROUTE.awareness) return -1;
  const at = frame.lastIndexOf(MARK);
  return at < 0 ? -1 : Number(frame.toString("latin1", at + 1, at + 1 + DIGITS));
}
