import { create, type DescMessage, type Message, toBinary } from "@bufbuild/protobuf";
import { BimipError } from "./bimip-error.js";
import { ErrorCode, ErrorMessageSchema } from "./gen/bimip/bimip_pb.js";
import { LIMITS } from "./limits.js";
import { decodeUtf8, encodeUtf8 } from "./utf8.js";
import { SHAPE_BY_KIND, STANZA_ROUTE, type StanzaKind, type StanzaValue } from "./stanza.js";
import { varintSize, writeVarint } from "./wire-writer.js";

/** The tag of MessageScheme.route. */
const ROUTE_TAG = 8;
const BYTES_WIRE_TYPE = 2;

/**
 * Encodes a stanza as a complete MessageScheme, its route filled in. Unknown fields of the value are written again.
 * Throws a BimipError 422 for a value its field cannot hold, such as 1.5 or 2^31 in an int32.
 */
export function encodeStanza<K extends StanzaKind>(kind: K, value: StanzaValue<K>): Uint8Array {
  const schema = SHAPE_BY_KIND.get(kind)?.message as DescMessage;
  let payload: Uint8Array;
  try {
    payload = toBinary(schema, value as Message);
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new BimipError(ErrorCode.FIELD_WRONG, `cannot encode ${kind}: ${text}`, { cause });
  }
  return encodePayload(kind, payload);
}

/** A complete MessageScheme around a payload of that kind that is encoded already; the payload is copied to its end. */
export function encodePayload(kind: StanzaKind, payload: Uint8Array): Uint8Array {
  const route = STANZA_ROUTE[kind];
  const tag = route * 8 + BYTES_WIRE_TYPE;
  const headSize = 1 + varintSize(route) + varintSize(tag) + varintSize(payload.length);
  const out = new Uint8Array(headSize + payload.length);
  out[0] = ROUTE_TAG;
  let pos = writeVarint(out, 1, route);
  pos = writeVarint(out, pos, tag);
  pos = writeVarint(out, pos, payload.length);
  out.set(payload, pos);
  return out;
}

/** An error as the frame a client gets: code, details (shortened to 1024 characters), id, `origin` (ErrorOrigin), now. */
export function errorFrame(error: BimipError, origin: number): Uint8Array {
  return encodeStanza(
    "error",
    create(ErrorMessageSchema, {
      code: error.code,
      errorOrigin: origin,
      details: shortened(error.details),
      timestamp: BigInt(Date.now()),
      id: error.id ?? "",
    }),
  );
}

function shortened(details: string): string {
  if (details.length <= LIMITS.errorDetailsUnits) return details;
  // The cut may split a surrogate pair; the way through UTF-8 mends that.
  const bytes = encodeUtf8(`${details.slice(0, LIMITS.errorDetailsUnits)}…`);
  return decodeUtf8(bytes, 0, bytes.length) as string;
}
