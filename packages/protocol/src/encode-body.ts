import { STANZA_ROUTE } from "./stanza.js";
import { WIRE } from "./wire-reader.js";
import { varintSize, writeRange, writeVarint } from "./wire-writer.js";

/** What `Body.route` says of a Body. */
export const BODY_ROUTE = {
  /** The field number of Awareness: changes. */
  changes: STANZA_ROUTE.awareness,
  /** That of Body: a complete snapshot, or its last part; whoever is not in it is not visible. */
  snapshot: STANZA_ROUTE.body,
  /** A part of a snapshot; more of it follows. */
  snapshotPart: 10,
} as const;

/** What a Body says. */
export interface BodyParts {
  /** `Body.route`: 9 = a complete snapshot, or its end; 10 = what it begins with; 2 = changes. */
  readonly route: number;
  /** Encoded Awareness stanzas. */
  readonly awareness: readonly Uint8Array[];
  /** Epoch milliseconds. */
  readonly timestampMs: number;
}

const ROUTE_TAG = (1 << 3) | WIRE.varint;
const BODY_TAG = (STANZA_ROUTE.body << 3) | WIRE.bytes;
const BODY_ROUTE_TAG = (1 << 3) | WIRE.varint;
const AWARENESS_TAG = (2 << 3) | WIRE.bytes;
const TIMESTAMP_TAG = (3 << 3) | WIRE.varint;

/** A Body as a complete frame. What is in it is copied as it is: nothing is decoded or encoded again. */
export function encodeBody({ route, awareness, timestampMs }: BodyParts): Uint8Array {
  let payloadSize = 1 + varintSize(route) + 1 + varintSize(timestampMs);
  for (const item of awareness) payloadSize += 1 + varintSize(item.length) + item.length;
  const out = new Uint8Array(2 + varintSize(BODY_TAG) + varintSize(payloadSize) + payloadSize);
  out[0] = ROUTE_TAG;
  out[1] = STANZA_ROUTE.body;
  let pos = writeVarint(out, 2, BODY_TAG);
  pos = writeVarint(out, pos, payloadSize);
  out[pos] = BODY_ROUTE_TAG;
  pos = writeVarint(out, pos + 1, route);
  for (const item of awareness) {
    out[pos] = AWARENESS_TAG;
    pos = writeVarint(out, pos + 1, item.length);
    pos = writeRange(out, pos, item, 0, item.length);
  }
  out[pos] = TIMESTAMP_TAG;
  writeVarint(out, pos + 1, timestampMs);
  return out;
}
