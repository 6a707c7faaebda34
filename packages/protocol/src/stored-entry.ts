import { BimipError } from "./bimip-error.js";
import { ErrorCode, SignalStatus } from "./gen/bimip/bimip_pb.js";
import { LIMITS } from "./limits.js";
import { STANZA_ROUTE } from "./stanza.js";
import { WIRE, WireProblem, WireReader } from "./wire-reader.js";
import { varintSize, writeRange, writeVarint } from "./wire-writer.js";

// All kinds that are stored (message, push_notification, signal, event) number these alike.
const FROM_TAG = (2 << 3) | WIRE.bytes;
const TO_TAG = (3 << 3) | WIRE.bytes;
const EID_TAG = (1 << 3) | WIRE.bytes;
const DEVICE_TAG = (2 << 3) | WIRE.bytes;
const SIGNAL_TAG = (STANZA_ROUTE.signal << 3) | WIRE.bytes;
const STATUS_TAG = (5 << 3) | WIRE.varint;

const NOBODY: EntryTarget = { eid: "", device: undefined };
/** What a client copies into `to` of a receipt is the message's `from`, device included; yet it reaches all devices. */
const RECEIPTS: ReadonlySet<number> = new Set([
  SignalStatus.FORWARDED,
  SignalStatus.DELIVERED,
  SignalStatus.READ,
  SignalStatus.PLAYED,
]);

/** The two tags an entry's indexes are written with: its own index, the one before. By payload field number. */
const INDEX_TAGS: readonly (readonly [number, number] | undefined)[] = (() => {
  const tags: (readonly [number, number] | undefined)[] = [];
  tags[STANZA_ROUTE.message] = [9 << 3, 10 << 3];
  tags[STANZA_ROUTE.pushNotification] = [9 << 3, 10 << 3];
  tags[STANZA_ROUTE.signal] = [8 << 3, 9 << 3];
  tags[STANZA_ROUTE.event] = [8 << 3, 9 << 3];
  return tags;
})();

/** The kinds by payload field number. */
const STORED_KINDS: readonly (EntrySummary["kind"] | undefined)[] = (() => {
  const kinds: (EntrySummary["kind"] | undefined)[] = [];
  for (const kind of ["message", "pushNotification", "signal", "event"] as const) kinds[STANZA_ROUTE[kind]] = kind;
  return kinds;
})();

/** Moves a new reader over `stored` to the tag of its payload, and returns that tag. */
function seekPayload(reader: WireReader): number {
  for (;;) {
    const start = reader.pos;
    const tag = reader.tag();
    const number = tag >>> 3;
    if ((tag & 7) === WIRE.bytes && number < INDEX_TAGS.length && INDEX_TAGS[number] !== undefined) {
      reader.pos = start;
      return tag;
    }
    reader.skip(tag, LIMITS.recursionDepth);
  }
}

function notStored(cause: unknown): BimipError {
  return new BimipError(ErrorCode.INTERNAL, "not a stored message, push_notification, signal or event", { cause });
}

/** A reader over the payload of a stored entry. */
function payloadReader(stored: Uint8Array): WireReader {
  const reader = new WireReader(stored);
  seekPayload(reader);
  reader.tag();
  reader.end = reader.lengthEnd();
  return reader;
}

/**
 * Whether a stored entry was sent by the very device whose `encodeIdentityPrefix` is given. Entries made by `toStored`
 * hold `from` first, so this is a comparison of a few dozen bytes. Throws a BimipError 500 on anything that is no entry.
 */
export function isFrom(stored: Uint8Array, identityPrefix: Uint8Array): boolean {
  try {
    const reader = payloadReader(stored);
    while (reader.pos < reader.end) {
      const tag = reader.tag();
      if (tag === FROM_TAG) {
        const end = reader.lengthEnd();
        return startsWith(stored, reader.pos, end, identityPrefix);
      }
      reader.skip(tag, LIMITS.recursionDepth);
    }
    return false;
  } catch (thrown) {
    throw thrown instanceof WireProblem ? notStored(thrown) : thrown;
  }
}

function startsWith(bytes: Uint8Array, start: number, end: number, prefix: Uint8Array): boolean {
  if (end - start < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) if (bytes[start + i] !== prefix[i]) return false;
  return true;
}

/** Whom an entry is addressed to; `device` is set if it is for that device alone. A receipt is for all devices of its user. */
export interface EntryTarget {
  readonly eid: string;
  readonly device: string | undefined;
}

/** `to` of a stored entry, `{eid: "", device: undefined}` if it has none. Throws a BimipError 500 on anything that is no entry. */
export function entryTarget(stored: Uint8Array): EntryTarget {
  try {
    const reader = new WireReader(stored);
    const isSignal = seekPayload(reader) === SIGNAL_TAG;
    reader.tag();
    reader.end = reader.lengthEnd();
    let target: EntryTarget = NOBODY;
    let isReceipt = false;
    while (reader.pos < reader.end) {
      const tag = reader.tag();
      if (tag === TO_TAG) {
        target = readIdentity(reader);
        if (!isSignal || target.device === undefined) return target;
      } else if (isSignal && tag === STATUS_TAG) isReceipt = RECEIPTS.has(reader.int32());
      else reader.skip(tag, LIMITS.recursionDepth);
    }
    return isReceipt ? { eid: target.eid, device: undefined } : target;
  } catch (thrown) {
    throw thrown instanceof WireProblem ? notStored(thrown) : thrown;
  }
}

function readTarget(reader: WireReader): EntryTarget {
  let eid = "";
  let device: string | undefined;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === EID_TAG) eid = reader.string();
    else if (tag === DEVICE_TAG) device = reader.string();
    else reader.skip(tag, LIMITS.recursionDepth);
  }
  return { eid, device };
}

/** What an entry is. Throws a BimipError 500 on anything that is no entry. */
export function entryKind(stored: Uint8Array): EntrySummary["kind"] {
  try {
    return STORED_KINDS[seekPayload(new WireReader(stored)) >>> 3] as EntrySummary["kind"];
  } catch (thrown) {
    throw thrown instanceof WireProblem ? notStored(thrown) : thrown;
  }
}

/** What an entry is, who sent it, and whom it is addressed to. */
export interface EntrySummary {
  readonly kind: "message" | "pushNotification" | "signal" | "event";
  readonly from: EntryTarget;
  readonly to: EntryTarget;
}

/**
 * Reads an entry's kind, sender and addressee and nothing else of it; `{eid: "", device: undefined}` for one that is not
 * there. Throws a BimipError 500 on anything that is no entry.
 */
export function summaryOf(stored: Uint8Array): EntrySummary {
  try {
    const reader = new WireReader(stored);
    const kind = STORED_KINDS[seekPayload(reader) >>> 3] as EntrySummary["kind"];
    reader.tag();
    reader.end = reader.lengthEnd();
    let from: EntryTarget | undefined;
    let to: EntryTarget | undefined;
    while (reader.pos < reader.end && (from === undefined || to === undefined)) {
      const tag = reader.tag();
      if (tag === FROM_TAG) from = readIdentity(reader);
      else if (tag === TO_TAG) to = readIdentity(reader);
      else reader.skip(tag, LIMITS.recursionDepth);
    }
    return { kind, from: from ?? NOBODY, to: to ?? NOBODY };
  } catch (thrown) {
    throw thrown instanceof WireProblem ? notStored(thrown) : thrown;
  }
}

/** Reads the Identity whose length stands here, and goes on behind it. */
function readIdentity(reader: WireReader): EntryTarget {
  const outerEnd = reader.end;
  reader.end = reader.lengthEnd();
  const identity = readTarget(reader);
  reader.end = outerEnd;
  return identity;
}

/**
 * The frame a device gets: the stored entry with its own index and the index of the entry handed to that device before
 * (0 = none) appended to the payload. Both are integers from 0 to 2^53 - 1. One allocation, nothing is encoded again.
 * Throws a BimipError 500 on anything that is no stored message, push_notification, signal or event.
 */
export function withIndexes(stored: Uint8Array, monotonicId: number, previousId: number): Uint8Array {
  try {
    const reader = new WireReader(stored);
    const tag = seekPayload(reader);
    reader.tag();
    const lengthStart = reader.pos;
    const payloadEnd = reader.lengthEnd();
    const payloadStart = reader.pos;
    const [ownTag, previousTag] = INDEX_TAGS[tag >>> 3] as readonly [number, number];
    const added = 2 + varintSize(monotonicId) + varintSize(previousId);
    const payloadSize = payloadEnd - payloadStart + added;
    const out = new Uint8Array(lengthStart + varintSize(payloadSize) + payloadSize + stored.length - payloadEnd);
    let pos = writeRange(out, 0, stored, 0, lengthStart);
    pos = writeVarint(out, pos, payloadSize);
    pos = writeRange(out, pos, stored, payloadStart, payloadEnd);
    out[pos] = ownTag;
    pos = writeVarint(out, pos + 1, monotonicId);
    out[pos] = previousTag;
    pos = writeVarint(out, pos + 1, previousId);
    writeRange(out, pos, stored, payloadEnd, stored.length);
    return out;
  } catch (thrown) {
    throw thrown instanceof WireProblem ? notStored(thrown) : thrown;
  }
}
