import { utf8Length, writeUtf8 } from "./utf8.js";
import { varintSize, writeVarint } from "./wire-writer.js";

const EID_TAG = 0x0a;
const DEVICE_TAG = 0x12;
const NODE_TAG = 0x1a;

/** What an encoded Identity says. */
export interface IdentityParts {
  readonly eid: string;
  readonly device?: string | undefined;
  readonly node: string;
}

/** The bytes of an Identity in field order, to be stamped by `toStored`. Encode once per session. */
export function encodeIdentity(identity: IdentityParts): Uint8Array {
  return encodeStrings([
    [EID_TAG, identity.eid],
    [DEVICE_TAG, identity.device],
    [NODE_TAG, identity.node === "" ? undefined : identity.node],
  ]);
}

/** The first bytes of every {@link encodeIdentity} of this device, whatever its node: for `isFrom`. */
export function encodeIdentityPrefix(eid: string, device: string): Uint8Array {
  return encodeStrings([
    [EID_TAG, eid],
    [DEVICE_TAG, device],
  ]);
}

function encodeStrings(fields: readonly (readonly [tag: number, text: string | undefined])[]): Uint8Array {
  let size = 0;
  for (const [, text] of fields) if (text !== undefined) size += stringFieldSize(text);
  const out = new Uint8Array(size);
  let pos = 0;
  for (const [tag, text] of fields) if (text !== undefined) pos = writeStringField(out, pos, tag, text);
  return out;
}

/** Bytes of a string field with a one-byte tag. */
export function stringFieldSize(text: string): number {
  const length = utf8Length(text);
  return 1 + varintSize(length) + length;
}

/** Writes a string field with a one-byte tag and returns the position after it. */
export function writeStringField(out: Uint8Array, pos: number, tag: number, text: string): number {
  out[pos] = tag;
  return writeUtf8(out, writeVarint(out, pos + 1, utf8Length(text)), text);
}
