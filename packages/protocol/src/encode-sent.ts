import { SignalStatus, SignalType } from "./gen/bimip/bimip_pb.js";
import { stringFieldSize, writeStringField } from "./identity-bytes.js";
import { STANZA_ROUTE } from "./stanza.js";
import { varintSize, writeVarint } from "./wire-writer.js";

/** What SENT tells the sender of a stored message. */
export interface Sent {
  /** Id of the message. */
  readonly id: string;
  /** The recipient's EID. */
  readonly toEid: string;
  /** When it was stored, epoch milliseconds. */
  readonly timestampMs: number;
  /** Its index in the recipient's log. */
  readonly monotonicId: number;
  /** Index of the copy in the sender's own log; 0 = no copy. */
  readonly logId: number;
}

// Tags of the envelope (route, signal), of Signal and of Identity.
const TAG = { route: 0x08, signal: 0x62, id: 0x0a, to: 0x1a, type: 0x20, status: 0x28, timestamp: 0x30 } as const;
const INDEX_TAG = { monotonicId: 0x38, logId: 0x40 } as const;
const EID_TAG = 0x0a;

/** Signal SENT as a complete frame: `encodeStanza("signal", …)` by hand, since each message needs one. */
export function encodeSent(sent: Sent): Uint8Array {
  const toSize = stringFieldSize(sent.toEid);
  const payloadSize =
    stringFieldSize(sent.id) +
    (1 + varintSize(toSize) + toSize) +
    4 +
    (1 + varintSize(sent.timestampMs)) +
    (1 + varintSize(sent.monotonicId)) +
    (sent.logId === 0 ? 0 : 1 + varintSize(sent.logId));
  const out = new Uint8Array(3 + varintSize(payloadSize) + payloadSize);
  out[0] = TAG.route;
  out[1] = STANZA_ROUTE.signal;
  out[2] = TAG.signal;
  let pos = writeVarint(out, 3, payloadSize);
  pos = writeStringField(out, pos, TAG.id, sent.id);
  out[pos] = TAG.to;
  pos = writeVarint(out, pos + 1, toSize);
  pos = writeStringField(out, pos, EID_TAG, sent.toEid);
  out[pos++] = TAG.type;
  out[pos++] = SignalType.RESPONSE;
  out[pos++] = TAG.status;
  out[pos++] = SignalStatus.SENT;
  out[pos] = TAG.timestamp;
  pos = writeVarint(out, pos + 1, sent.timestampMs);
  out[pos] = INDEX_TAG.monotonicId;
  pos = writeVarint(out, pos + 1, sent.monotonicId);
  if (sent.logId !== 0) {
    out[pos] = INDEX_TAG.logId;
    writeVarint(out, pos + 1, sent.logId);
  }
  return out;
}
