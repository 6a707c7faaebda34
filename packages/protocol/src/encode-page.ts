import { stringFieldSize, writeStringField } from "./identity-bytes.js";
import { STANZA_ROUTE } from "./stanza.js";
import { WIRE } from "./wire-reader.js";
import { varintSize, writeRange, writeVarint } from "./wire-writer.js";

/** What a Page of stored entries says. */
export interface PageParts {
  /** Id of the Query. */
  readonly id: string;
  /** Encoded MessageSchemes. */
  readonly items: readonly Uint8Array[];
  /** Index for the next page, 0 = none. */
  readonly next: number;
  /** Nothing lies beyond this page. */
  readonly done: boolean;
}

const ROUTE_TAG = (1 << 3) | WIRE.varint;
const PAGE_TAG = (STANZA_ROUTE.page << 3) | WIRE.bytes;
const ID_TAG = (1 << 3) | WIRE.bytes;
const ITEM_TAG = (2 << 3) | WIRE.bytes;
const NEXT_TAG = (3 << 3) | WIRE.varint;
const DONE_TAG = (4 << 3) | WIRE.varint;

/** A Page as a complete frame. The items are copied as they are: nothing is decoded or encoded again. */
export function encodePage({ id, items, next, done }: PageParts): Uint8Array {
  let payloadSize = stringFieldSize(id) + (next === 0 ? 0 : 1 + varintSize(next)) + (done ? 2 : 0);
  for (const item of items) payloadSize += 1 + varintSize(item.length) + item.length;
  const out = new Uint8Array(2 + varintSize(PAGE_TAG) + varintSize(payloadSize) + payloadSize);
  out[0] = ROUTE_TAG;
  out[1] = STANZA_ROUTE.page;
  let pos = writeVarint(out, 2, PAGE_TAG);
  pos = writeVarint(out, pos, payloadSize);
  pos = writeStringField(out, pos, ID_TAG, id);
  for (const item of items) {
    out[pos] = ITEM_TAG;
    pos = writeVarint(out, pos + 1, item.length);
    pos = writeRange(out, pos, item, 0, item.length);
  }
  if (next !== 0) {
    out[pos] = NEXT_TAG;
    pos = writeVarint(out, pos + 1, next);
  }
  if (done) {
    out[pos] = DONE_TAG;
    out[pos + 1] = 1;
  }
  return out;
}
