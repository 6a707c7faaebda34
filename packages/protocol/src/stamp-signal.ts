import { BimipError } from "./bimip-error.js";
import type { Frame } from "./decode-frame.js";
import { ErrorCode } from "./gen/bimip/bimip_pb.js";
import { STANZA_ROUTE } from "./stanza.js";
import { fieldSet, keptRuns } from "./to-stored.js";
import { WIRE } from "./wire-reader.js";
import { varintSize, writeRange, writeVarint } from "./wire-writer.js";

const FIELD = { from: 2, timestamp: 6, logId: 8, previousId: 9 } as const;
const ROUTE_TAG = (1 << 3) | WIRE.varint;
const SIGNAL_TAG = (STANZA_ROUTE.signal << 3) | WIRE.bytes;
const FROM_TAG = (FIELD.from << 3) | WIRE.bytes;
const TIMESTAMP_TAG = (FIELD.timestamp << 3) | WIRE.varint;

const SERVERS_FIELDS = fieldSet(FIELD.from, FIELD.logId, FIELD.previousId);

/**
 * A Signal as others get it: a complete MessageScheme of route, the envelope's unknown fields, and the payload as
 * `from`, then all the client's other fields byte for byte, unknown ones too. `log_id` and `previous_id` are left out:
 * they are the server's. Throws a BimipError 500 for other kinds.
 *
 * @param from the sender, from `encodeIdentity`
 * @param timestampMs now, to be filled in where the client gave no `timestamp`; absent: it stays as it is
 */
export function stampSignal(frame: Frame, from: Uint8Array, timestampMs?: number): Uint8Array {
  const { stanza, bytes, envelopeExtra } = frame;
  if (stanza.kind !== "signal")
    throw new BimipError(ErrorCode.INTERNAL, `a stanza of kind ${stanza.kind} is no signal`);
  const stamp = stanza.value.timestamp === 0n ? timestampMs : undefined;
  const runs = keptRuns(frame, stamp === undefined ? SERVERS_FIELDS : SERVERS_FIELDS | fieldSet(FIELD.timestamp));
  let payloadSize = 1 + varintSize(from.length) + from.length;
  if (stamp !== undefined) payloadSize += 1 + varintSize(stamp);
  for (let i = 0; i < runs.length; i += 2) payloadSize += (runs[i + 1] as number) - (runs[i] as number);

  const extraSize = envelopeExtra === undefined ? 0 : envelopeExtra.length;
  const out = new Uint8Array(3 + varintSize(payloadSize) + extraSize + payloadSize);
  out[0] = ROUTE_TAG;
  out[1] = STANZA_ROUTE.signal;
  let pos = 2;
  if (envelopeExtra !== undefined) pos = writeRange(out, pos, envelopeExtra, 0, extraSize);
  out[pos] = SIGNAL_TAG;
  pos = writeVarint(out, pos + 1, payloadSize);
  out[pos] = FROM_TAG;
  pos = writeVarint(out, pos + 1, from.length);
  pos = writeRange(out, pos, from, 0, from.length);
  if (stamp !== undefined) {
    out[pos] = TIMESTAMP_TAG;
    pos = writeVarint(out, pos + 1, stamp);
  }
  for (let i = 0; i < runs.length; i += 2) pos = writeRange(out, pos, bytes, runs[i] as number, runs[i + 1] as number);
  return out;
}
