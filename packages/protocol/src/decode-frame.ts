import { BimipError } from "./bimip-error.js";
import { readMessage } from "./decode-message.js";
import { ErrorCode } from "./gen/bimip/bimip_pb.js";
import { LIMITS } from "./limits.js";
import { planOf } from "./message-plan.js";
import { nameProblem } from "./names.js";
import { SHAPE_BY_ROUTE, STANZA_SHAPES, type Stanza, type StanzaKind } from "./stanza.js";
import { WIRE, WireProblem, WireReader } from "./wire-reader.js";

/** One decoded frame, together with the bytes it came from. */
export interface Frame {
  readonly stanza: Stanza;
  /** The frame as it came; `bytes` fields of the stanza are views of it. */
  readonly bytes: Uint8Array;
  /** Where the payload message begins in `bytes`, after its tag and length. */
  readonly payloadStart: number;
  /** Where the payload message ends in `bytes`. */
  readonly payloadEnd: number;
  /** The envelope's unknown fields, tags included, one after another; `undefined` if there are none. */
  readonly envelopeExtra: Uint8Array | undefined;
}

/** Options of {@link decodeFrame}. */
export interface DecodeOptions {
  /** Bytes a frame may have; default {@link LIMITS}.stanzaBytes, right for what a client sends. */
  readonly maxStanzaBytes?: number;
}

const ROUTE_NUMBER = 1;

// Payload plans by field number in the envelope.
const PAYLOADS = STANZA_SHAPES.reduce<{ kind: StanzaKind; name: string; plan: ReturnType<typeof planOf> }[]>(
  (byNumber, shape) => {
    byNumber[shape.field.number] = { kind: shape.kind, name: shape.field.name, plan: planOf(shape.message) };
    return byNumber;
  },
  [],
);

/**
 * Decodes one frame. The frame keeps `bytes`: whoever reuses a buffer copies it first.
 *
 * Throws a BimipError with the stanza's id where that can be read: 413 for more than `maxStanzaBytes`, 400 for bytes
 * that do not parse, hold no payload or two, invalid UTF-8, a singular sub-message twice, or too deep a nesting.
 */
export function decodeFrame(bytes: Uint8Array, options: DecodeOptions = {}): Frame {
  const limit = options.maxStanzaBytes ?? LIMITS.stanzaBytes;
  if (bytes.length > limit) {
    throw new BimipError(ErrorCode.TOO_LARGE, `the stanza has ${bytes.length} bytes, at most ${limit} are allowed`, {
      id: peekId(bytes),
    });
  }
  try {
    return readFrame(bytes);
  } catch (thrown) {
    if (!(thrown instanceof WireProblem)) throw thrown;
    const field = thrown.path.length > 0 ? thrown.path.join(".") : undefined;
    const details = field === undefined ? `the frame ${thrown.message}` : `${field}: ${thrown.message}`;
    throw new BimipError(ErrorCode.MALFORMED, details, { field, id: peekId(bytes) });
  }
}

function readFrame(bytes: Uint8Array): Frame {
  const reader = new WireReader(bytes);
  let stanza: Stanza | undefined;
  let payloadStart = 0;
  let payloadEnd = 0;
  let extra: Uint8Array[] | undefined;
  while (reader.pos < bytes.length) {
    const start = reader.pos;
    const tag = reader.tag();
    const number = tag >>> 3;
    const payload = number < PAYLOADS.length ? PAYLOADS[number] : undefined;
    if (payload !== undefined) {
      if ((tag & 7) !== WIRE.bytes) throw new WireProblem(`has wire type ${tag & 7} for ${payload.name}`);
      if (stanza !== undefined) throw new WireProblem("has more than one payload");
      payloadEnd = reader.lengthEnd();
      payloadStart = reader.pos;
      stanza = { kind: payload.kind, value: readPayload(reader, payload, payloadEnd) } as unknown as Stanza;
    } else if (number === ROUTE_NUMBER) {
      if ((tag & 7) !== WIRE.varint) throw new WireProblem(`has wire type ${tag & 7} for route`);
      reader.int64();
    } else {
      reader.skip(tag, LIMITS.recursionDepth - 1);
      extra ??= [];
      extra.push(bytes.subarray(start, reader.pos));
    }
  }
  if (stanza === undefined) throw new WireProblem("has no payload");
  return { stanza, bytes, payloadStart, payloadEnd, envelopeExtra: extra === undefined ? undefined : joined(extra) };
}

function readPayload(reader: WireReader, payload: (typeof PAYLOADS)[number], end: number): object {
  const outerEnd = reader.end;
  reader.end = end;
  try {
    const value = readMessage(reader, payload.plan, LIMITS.recursionDepth - 1);
    reader.end = outerEnd;
    return value;
  } catch (problem) {
    if (problem instanceof WireProblem) problem.path.unshift(payload.name);
    throw problem;
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let pos = 0;
  for (const part of parts) {
    whole.set(part, pos);
    pos += part.length;
  }
  return whole;
}

/** The stanza's id from bytes that may be broken or cut off, so that an error can name it; only if it is a valid id. */
export function peekId(bytes: Uint8Array): string | undefined {
  const reader = new WireReader(bytes);
  let idTag = -1;
  try {
    while (reader.pos < reader.end) {
      const tag = reader.tag();
      const shape = idTag < 0 && (tag & 7) === WIRE.bytes ? SHAPE_BY_ROUTE.get(tag >>> 3) : undefined;
      if (shape !== undefined) {
        if (shape.idField === undefined) return undefined;
        idTag = (shape.idField.number << 3) | WIRE.bytes;
        reader.end = lenientEnd(reader);
      } else if (tag === idTag) {
        const id = reader.string();
        return nameProblem(id, LIMITS.idBytes) === undefined ? id : undefined;
      } else {
        reader.skip(tag, LIMITS.recursionDepth);
      }
    }
  } catch (problem) {
    if (!(problem instanceof WireProblem)) throw problem;
  }
  return undefined;
}

/** The payload's end as its length says, or the end of the bytes where that is sooner; moves past the length. */
function lenientEnd(reader: WireReader): number {
  const start = reader.pos;
  try {
    return reader.lengthEnd();
  } catch {
    // The length itself can be read, or the reads that follow fail and there is no id.
    reader.pos = start;
    reader.skip(WIRE.varint, 0);
    return reader.end;
  }
}
