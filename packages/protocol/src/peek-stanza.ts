import type { DescField } from "@bufbuild/protobuf";
import { IdentitySchema } from "./gen/bimip/bimip_pb.js";
import { LIMITS } from "./limits.js";
import { nameProblem } from "./names.js";
import { STANZA_SHAPES, type StanzaKind } from "./stanza.js";
import { decodeUtf8 } from "./utf8.js";
import { WIRE, WireProblem, WireReader } from "./wire-reader.js";

const ROUTE_TAG = (1 << 3) | WIRE.varint;
const MAX_VARINT_BYTES = 10;

const KIND_BY_TAG = STANZA_SHAPES.reduce<(StanzaKind | undefined)[]>(
  (kinds, { field, kind }) => {
    kinds[(field.number << 3) | WIRE.bytes] = kind;
    return kinds;
  },
  Array.from<StanzaKind | undefined>({ length: 256 }),
);

/** Where a stanza has its id and its recipient, by its own tag in the envelope; 0 = it has none. */
const NAME_TAGS = STANZA_SHAPES.reduce<{ readonly kind: StanzaKind; readonly id: number; readonly to: number }[]>(
  (tags, { kind, field, message, idField }) => {
    const to = message.fields.find(({ name }) => name === "to");
    const tagOf = (one: DescField | undefined): number => (one === undefined ? 0 : (one.number << 3) | WIRE.bytes);
    tags[(field.number << 3) | WIRE.bytes] = { kind, id: tagOf(idField), to: tagOf(to) };
    return tags;
  },
  [],
);

/**
 * Which stanza a frame carries, where its first bytes say it: what every encoder writes, the route if any and then the
 * payload. Costs nothing to speak of, whatever the frame holds. Undefined does not mean that the frame is bad, nor a kind
 * that it is good.
 */
export function peekKind(bytes: Uint8Array): StanzaKind | undefined {
  let pos = 0;
  if (bytes[0] === ROUTE_TAG) {
    while (++pos <= MAX_VARINT_BYTES && (bytes[pos] ?? 0) >= 0x80);
    pos++;
  }
  const first = bytes[pos] ?? 0;
  return first < 0x80 ? KIND_BY_TAG[first] : KIND_BY_TAG[(first & 0x7f) | ((bytes[pos + 1] ?? 0) << 7)];
}

/** What an answer to a stanza, and the order behind a message, need to know. */
export interface PeekedNames {
  readonly kind: StanzaKind | undefined;
  readonly id: string | undefined;
  /** EID of the recipient. */
  readonly to: string | undefined;
}

const NOTHING: PeekedNames = { kind: undefined, id: undefined, to: undefined };
const EID_TAG = (IdentitySchema.field.eid.number << 3) | WIRE.bytes;
/** No encoder writes more of one message: what lies beyond is not looked at. */
const MAX_FIELDS = 32;

/**
 * Kind, id and recipient of a stanza that is not decoded, as `decodeFrame` would give them; undefined where they are missing, no
 * valid names, or cannot be found at once: only a few fields are looked at.
 */
export function peekNames(bytes: Uint8Array): PeekedNames {
  const reader = new WireReader(bytes);
  try {
    let tags: (typeof NAME_TAGS)[number] | undefined;
    for (let count = 0; tags === undefined; count++) {
      if (count === MAX_FIELDS) return NOTHING;
      const tag = reader.tag();
      tags = NAME_TAGS[tag];
      if (tags === undefined) reader.skip(tag, 0);
    }
    reader.end = reader.lengthEnd();
    let id: string | undefined;
    let to: string | undefined;
    const isWhole = eachField(reader, (inner) => {
      if (inner === tags.id) id = readName(reader, LIMITS.idBytes);
      else if (inner === tags.to) to = readEid(reader);
      else return false;
      return true;
    });
    return isWhole ? { kind: tags.kind, id, to } : NOTHING;
  } catch (problem) {
    if (problem instanceof WireProblem) return NOTHING;
    throw problem;
  }
}

/** Steps over what `take` does not take; false: there are too many to look at. */
function eachField(reader: WireReader, take: (tag: number) => boolean): boolean {
  for (let count = 0; reader.pos < reader.end; count++) {
    if (count === MAX_FIELDS) return false;
    const tag = reader.tag();
    // No groups: nobody writes them.
    if (!take(tag)) reader.skip(tag, 0);
  }
  return true;
}

function readEid(reader: WireReader): string | undefined {
  const outerEnd = reader.end;
  reader.end = reader.lengthEnd();
  let eid: string | undefined;
  const isWhole = eachField(reader, (tag) => {
    if (tag === EID_TAG) eid = readName(reader, LIMITS.eidBytes);
    return tag === EID_TAG;
  });
  reader.pos = reader.end;
  reader.end = outerEnd;
  return isWhole ? eid : undefined;
}

function readName(reader: WireReader, maxBytes: number): string | undefined {
  const end = reader.lengthEnd();
  const start = reader.pos;
  reader.pos = end;
  const name = end - start > maxBytes ? undefined : decodeUtf8(reader.bytes, start, end);
  return name !== undefined && nameProblem(name, maxBytes) === undefined ? name : undefined;
}
