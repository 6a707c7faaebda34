import { decodeUtf8 } from "./utf8.js";

/** Wire types of protobuf. */
export const WIRE = { varint: 0, bit64: 1, bytes: 2, startGroup: 3, endGroup: 4, bit32: 5 } as const;

/** Bytes that are not what the schema promises; `path` grows from the innermost field outward. */
export class WireProblem extends Error {
  override readonly name = "WireProblem";
  readonly path: string[] = [];
}

/**
 * Reads protobuf strictly: whatever two implementations could read differently (a value that runs over the end of its
 * message, overlong tags and lengths) is a {@link WireProblem}. `end` is the end of the message being read.
 */
export class WireReader {
  readonly bytes: Uint8Array;
  pos: number;
  end: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.pos = start;
    this.end = end;
  }

  #byte(): number {
    if (this.pos >= this.end) throw new WireProblem("ends too early");
    return this.bytes[this.pos++] as number;
  }

  /** A varint of at most 32 bits, as tags and lengths are. */
  #uint32(what: string): number {
    let byte = this.#byte();
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    for (let shift = 7; shift < 28; shift += 7) {
      byte = this.#byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    byte = this.#byte();
    if (byte > 0x0f) throw new WireProblem(`${what} is over 32 bits`);
    return (value | (byte << 28)) >>> 0;
  }

  /** A tag: field number * 8 + wire type. */
  tag(): number {
    const tag = this.#uint32("a tag");
    if (tag < 8 || (tag & 7) > 5) throw new WireProblem("has an impossible tag");
    return tag;
  }

  /** The end of a length-delimited value whose length stands here; `pos` is then its start. */
  lengthEnd(): number {
    const end = this.#uint32("a length") + this.pos;
    if (end > this.end) throw new WireProblem("ends too early");
    return end;
  }

  /** A varint's low 32 bits, signed: int32. */
  int32(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#byte();
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new WireProblem("has a number over ten bytes");
  }

  /** A varint as int64. */
  int64(): bigint {
    // Up to seven bytes (49 bits: every index and timestamp in practice) a double is exact and quick.
    let value = 0;
    let factor = 1;
    for (let i = 0; i < 7; i++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return BigInt(value);
      factor *= 128;
    }
    let top = 0;
    for (let i = 7; i < 10; i++) {
      const byte = this.#byte();
      top += (byte & 0x7f) * 2 ** (7 * (i - 7));
      if (byte < 0x80) return BigInt.asIntN(64, (BigInt(top) << 49n) + BigInt(value));
    }
    throw new WireProblem("has a number over ten bytes");
  }

  /** A varint as bool: any bit set. */
  bool(): boolean {
    let bits = 0;
    for (let i = 0; i < 10; i++) {
      const byte = this.#byte();
      bits |= byte & 0x7f;
      if (byte < 0x80) return bits !== 0;
    }
    throw new WireProblem("has a number over ten bytes");
  }

  double(): number {
    const start = this.#advance(8);
    return new DataView(this.bytes.buffer, this.bytes.byteOffset + start, 8).getFloat64(0, true);
  }

  string(): string {
    const end = this.lengthEnd();
    const text = decodeUtf8(this.bytes, this.pos, end);
    if (text === undefined) throw new WireProblem("is not valid UTF-8");
    this.pos = end;
    return text;
  }

  /** A view of the input, not a copy. */
  view(): Uint8Array {
    const end = this.lengthEnd();
    const view = this.bytes.subarray(this.pos, end);
    this.pos = end;
    return view;
  }

  /** Steps over a value of the given tag; groups may nest `depth` deep. */
  skip(tag: number, depth: number): void {
    switch (tag & 7) {
      case WIRE.varint:
        this.int32();
        return;
      case WIRE.bit64:
        this.#advance(8);
        return;
      case WIRE.bytes:
        this.pos = this.lengthEnd();
        return;
      case WIRE.bit32:
        this.#advance(4);
        return;
      case WIRE.startGroup:
        this.#skipGroup(tag, depth);
        return;
      default:
        throw new WireProblem("ends a group that never began");
    }
  }

  #skipGroup(tag: number, depth: number): void {
    if (depth <= 0) throw new WireProblem("is nested too deep");
    const endTag = tag + (WIRE.endGroup - WIRE.startGroup);
    for (;;) {
      const inner = this.tag();
      if (inner === endTag) return;
      this.skip(inner, depth - 1);
    }
  }

  #advance(count: number): number {
    const start = this.pos;
    if (start + count > this.end) throw new WireProblem("ends too early");
    this.pos = start + count;
    return start;
  }
}
