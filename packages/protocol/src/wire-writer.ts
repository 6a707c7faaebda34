// Lengths and indexes are JS numbers up to 2^53 - 1, so varints are cut by division: a shift would take 32 bits only.

const TWO_31 = 2 ** 31;

/** Bytes of a varint; `value` is an integer from 0 to 2^53 - 1. */
export function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 128; rest /= 128) size++;
  return size;
}

/** Writes a varint at `pos` and returns the position after it; `value` is an integer from 0 to 2^53 - 1. */
export function writeVarint(out: Uint8Array, pos: number, value: number): number {
  let rest = value;
  while (rest >= TWO_31) {
    out[pos++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  while (rest >= 128) {
    out[pos++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[pos++] = rest;
  return pos;
}

/** Copies a range and returns the position after it. */
export function writeRange(out: Uint8Array, pos: number, from: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length <= 32) {
    for (let i = start; i < end; i++) out[pos++] = from[i] as number;
    return pos;
  }
  out.set(start === 0 && end === from.length ? from : from.subarray(start, end), pos);
  return pos + length;
}
