/** Wire types that carry a value; groups and the rest stay raw bytes. */
export type WireType = 0 | 1 | 2 | 5;

/** One field of an encoded message. A length-delimited one that reads as a message is also a tree. */
export interface WireField {
  no: number;
  type: number;
  /** Varint, fixed64 and fixed32: the value's bytes. Length-delimited: the content, where `children` is undefined. */
  bytes: Uint8Array;
  children: WireField[] | undefined;
  /** What the length says, where that is not the truth. */
  lie?: number;
}

const MAX_DEPTH = 6;

/** Fields of a protobuf message, guessed without its schema; undefined: these bytes are none. */
export function parseWire(bytes: Uint8Array, depth = 0): WireField[] | undefined {
  const fields: WireField[] = [];
  let at = 0;
  while (at < bytes.length) {
    const tag = readVarint(bytes, at);
    if (tag === undefined || tag.value < 8) return undefined;
    const type = tag.value & 7;
    const end = endOf(bytes, tag.end, type);
    if (end === undefined) return undefined;
    const content = bytes.slice(type === 2 ? end.start : tag.end, end.end);
    const children = type === 2 && content.length > 1 && depth < MAX_DEPTH ? parseWire(content, depth + 1) : undefined;
    fields.push({ no: tag.value >>> 3, type, bytes: content, children });
    at = end.end;
  }
  return fields;
}

function endOf(bytes: Uint8Array, at: number, type: number): { start: number; end: number } | undefined {
  if (type === 0) {
    const value = readVarint(bytes, at);
    return value && { start: at, end: value.end };
  }
  const fixed = type === 1 ? 8 : type === 5 ? 4 : undefined;
  if (fixed !== undefined) return at + fixed <= bytes.length ? { start: at, end: at + fixed } : undefined;
  if (type !== 2) return undefined;
  const length = readVarint(bytes, at);
  if (length === undefined || length.end + length.value > bytes.length) return undefined;
  return { start: length.end, end: length.end + length.value };
}

function readVarint(bytes: Uint8Array, start: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let at = start; at < bytes.length && at < start + 10; at++) {
    const byte = bytes[at] as number;
    value += (byte & 0x7f) * 2 ** (7 * (at - start));
    if (byte < 0x80) return { value, end: at + 1 };
  }
  return undefined;
}

/** The message again, lies included. */
export function writeWire(fields: readonly WireField[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const { no, type, bytes, children, lie } of fields) {
    const content = children === undefined ? bytes : writeWire(children);
    parts.push(varint(no * 8 + type));
    if (type === 2) parts.push(varint(lie ?? content.length));
    parts.push(content);
  }
  return concat(parts);
}

/** Of a number from 0 on, in as few bytes as it takes. */
export function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

/** Of an int64. */
export function varint64(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Every field of the tree, the inner ones too, each with the list it stands in. */
export function allFields(fields: WireField[]): { readonly field: WireField; readonly among: WireField[] }[] {
  return fields.flatMap((field) => [
    { field, among: fields },
    ...(field.children === undefined ? [] : allFields(field.children)),
  ]);
}
