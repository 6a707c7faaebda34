import { BimipError } from "./bimip-error.js";
import type { Frame } from "./decode-frame.js";
import { type Ack, AckStatus, ErrorCode } from "./gen/bimip/bimip_pb.js";
import { LIMITS } from "./limits.js";
import { STANZA_ROUTE } from "./stanza.js";
import { WIRE, WireReader } from "./wire-reader.js";
import { varintSize, writeRange, writeVarint } from "./wire-writer.js";

/** What the server adds to a stanza before it is stored. */
export interface Stamp {
  /** The sender, from `encodeIdentity`. */
  readonly from: Uint8Array;
  /** Now, in epoch milliseconds; used where the client left `timestamp` out. */
  readonly timestampMs: number;
}

// Message and PushNotification number their fields alike.
const FIELD = { from: 2, timestamp: 5, ack: 7, monotonicId: 9, previousId: 10 } as const;
const FROM_TAG = (FIELD.from << 3) | WIRE.bytes;
const TIMESTAMP_TAG = (FIELD.timestamp << 3) | WIRE.varint;
const ACK_TAG = (FIELD.ack << 3) | WIRE.bytes;
const ACK_STATUS_TAG = (1 << 3) | WIRE.bytes;
const ROUTE_TAG = (1 << 3) | WIRE.varint;

// The ack of a message that had none: the common case.
const SENT_ONLY = Uint8Array.of(ACK_TAG, 3, ACK_STATUS_TAG, 1, AckStatus.SENT);

const SERVERS_FIELDS = fieldSet(FIELD.from, FIELD.ack, FIELD.monotonicId, FIELD.previousId);
const SERVERS_FIELDS_AND_TIME = SERVERS_FIELDS | fieldSet(FIELD.timestamp);

/**
 * The form in which a Message or PushNotification is stored: a complete MessageScheme of route, the envelope's unknown
 * fields, and the payload as `from`, `ack` (the client's statuses and 12 SENT), `timestamp` if the client gave none,
 * then all the client's other fields byte for byte, unknown ones too. The fields only the server sets are left out.
 * Nothing is encoded again, no sub-message is ever there twice. Throws a BimipError 500 for other kinds.
 */
export function toStored(frame: Frame, stamp: Stamp): Uint8Array {
  const { stanza, bytes, envelopeExtra } = frame;
  if (stanza.kind !== "message" && stanza.kind !== "pushNotification") {
    throw new BimipError(ErrorCode.INTERNAL, `a stanza of kind ${stanza.kind} has no stored form`);
  }
  const stampTime = stanza.value.timestamp === 0n;
  const runs = keptRuns(frame, stampTime ? SERVERS_FIELDS_AND_TIME : SERVERS_FIELDS);
  const ack = stanza.value.ack === undefined ? SENT_ONLY : encodeAck(stanza.value.ack);
  let payloadSize = 1 + varintSize(stamp.from.length) + stamp.from.length + ack.length;
  if (stampTime) payloadSize += 1 + varintSize(stamp.timestampMs);
  for (let i = 0; i < runs.length; i += 2) payloadSize += (runs[i + 1] as number) - (runs[i] as number);

  const extraSize = envelopeExtra === undefined ? 0 : envelopeExtra.length;
  const out = new Uint8Array(3 + varintSize(payloadSize) + extraSize + payloadSize);
  const route = STANZA_ROUTE[stanza.kind];
  out[0] = ROUTE_TAG;
  out[1] = route;
  let pos = 2;
  if (envelopeExtra !== undefined) pos = writeRange(out, pos, envelopeExtra, 0, extraSize);
  out[pos] = (route << 3) | WIRE.bytes;
  pos = writeVarint(out, pos + 1, payloadSize);
  out[pos] = FROM_TAG;
  pos = writeVarint(out, pos + 1, stamp.from.length);
  pos = writeRange(out, pos, stamp.from, 0, stamp.from.length);
  pos = writeRange(out, pos, ack, 0, ack.length);
  if (stampTime) {
    out[pos] = TIMESTAMP_TAG;
    pos = writeVarint(out, pos + 1, stamp.timestampMs);
  }
  for (let i = 0; i < runs.length; i += 2) pos = writeRange(out, pos, bytes, runs[i] as number, runs[i + 1] as number);
  return out;
}

/** Field numbers below 32 as one number, for {@link keptRuns}. */
export function fieldSet(...numbers: readonly number[]): number {
  return numbers.reduce((set, number) => set | (1 << number), 0);
}

/** The stretches of a frame's payload that stay when the fields of `dropped` go: start, end, start, end, … */
export function keptRuns(frame: Frame, dropped: number): number[] {
  const reader = new WireReader(frame.bytes, frame.payloadStart, frame.payloadEnd);
  const runs: number[] = [];
  let runStart = reader.pos;
  while (reader.pos < reader.end) {
    const start = reader.pos;
    const tag = reader.tag();
    reader.skip(tag, LIMITS.recursionDepth);
    const number = tag >>> 3;
    if (number > 31 || ((dropped >>> number) & 1) === 0) continue;
    if (start > runStart) runs.push(runStart, start);
    runStart = reader.pos;
  }
  if (reader.end > runStart) runs.push(runStart, reader.end);
  return runs;
}

/** The client's ack with 12 SENT in it: statuses in their order, then the ack's unknown fields. */
function encodeAck(ack: Ack): Uint8Array {
  const statuses: number[] = [];
  for (const status of ack.status) pushInt32(statuses, status);
  if (!ack.status.includes(AckStatus.SENT)) statuses.push(AckStatus.SENT);
  let bodySize = 1 + varintSize(statuses.length) + statuses.length;
  for (const field of ack.$unknown ?? []) bodySize += varintSize(field.no * 8 + field.wireType) + field.data.length;
  const out = new Uint8Array(1 + varintSize(bodySize) + bodySize);
  out[0] = ACK_TAG;
  let pos = writeVarint(out, 1, bodySize);
  out[pos] = ACK_STATUS_TAG;
  pos = writeVarint(out, pos + 1, statuses.length);
  out.set(statuses, pos);
  pos += statuses.length;
  for (const field of ack.$unknown ?? []) {
    pos = writeVarint(out, pos, field.no * 8 + field.wireType);
    pos = writeRange(out, pos, field.data, 0, field.data.length);
  }
  return out;
}

function pushInt32(out: number[], value: number): void {
  if (value >= 0) {
    let rest = value;
    for (; rest >= 128; rest >>>= 7) out.push((rest & 0x7f) | 0x80);
    out.push(rest);
    return;
  }
  // A negative int32 is written as the 64-bit number it is: ten bytes, the upper bits all set.
  let rest = value;
  for (let i = 0; i < 9; i++, rest >>= 7) out.push((rest & 0x7f) | 0x80);
  out.push(1);
}
