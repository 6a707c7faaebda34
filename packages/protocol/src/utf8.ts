const encoder = new TextEncoder();
// A decoder that is not told to ignore the byte order mark drops it, and two names would become one.
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A text's UTF-8 bytes; a lone surrogate becomes U+FFFD, as everywhere on the web. */
export function encodeUtf8(text: string): Uint8Array {
  return encoder.encode(text);
}

// Below this, building the string in JS beats the call into the platform's decoder.
const SHORT_BYTES = 48;

/** The text of the bytes from `start` to `end`, or `undefined` if they are not valid UTF-8. Keeps a byte order mark. */
export function decodeUtf8(bytes: Uint8Array, start: number, end: number): string | undefined {
  if (end - start <= SHORT_BYTES) {
    let text = "";
    let pos = start;
    while (pos < end) {
      const byte = bytes[pos] as number;
      if (byte > 0x7f) break;
      text += String.fromCharCode(byte);
      pos++;
    }
    if (pos === end) return text;
  }
  try {
    return strictDecoder.decode(bytes.subarray(start, end));
  } catch {
    return undefined;
  }
}

/** Number of UTF-8 bytes of a text; a lone surrogate counts as the three bytes of U+FFFD. */
export function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    if (unit < 0x800) {
      length += 1;
      continue;
    }
    length += 2;
    if (isHighSurrogate(unit) && isLowSurrogate(text.charCodeAt(i + 1))) {
      // The pair is two units and four bytes: two more than counted for both units so far.
      i++;
    }
  }
  return length;
}

/** Writes a text at `pos` and returns the position after it; `out` must have {@link utf8Length} bytes of room. */
export function writeUtf8(out: Uint8Array, pos: number, text: string): number {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) {
      const rest = encoder.encode(text.slice(i));
      out.set(rest, pos);
      return pos + rest.length;
    }
    out[pos++] = unit;
  }
  return pos;
}

/** Whether a UTF-16 unit begins a pair. */
export function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

/** Whether a UTF-16 unit ends a pair. */
export function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
