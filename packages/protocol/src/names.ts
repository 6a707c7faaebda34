import { BimipError } from "./bimip-error.js";
import { ErrorCode } from "./gen/bimip/bimip_pb.js";
import { decodeUtf8, encodeUtf8, isHighSurrogate, isLowSurrogate, utf8Length } from "./utf8.js";

/**
 * Why a value is not a valid EID, device or stanza id, or `undefined` if it is one: it must have 1 to `maxBytes` bytes
 * of UTF-8, no control character (C0, DEL, C1) and no lone surrogate. The text follows on "<field>: ".
 */
export function nameProblem(value: string, maxBytes: number): string | undefined {
  if (value.length === 0) return "is missing";
  const problem = characterProblem(value);
  if (problem !== undefined) return problem;
  const bytes = utf8Length(value);
  if (bytes > maxBytes) return `is too long: ${bytes} bytes, at most ${maxBytes}`;
  return undefined;
}

/** Why a text holds something no name may hold, or `undefined`. The empty text is fine. */
export function characterProblem(value: string): string | undefined {
  for (let i = 0; i < value.length; i++) {
    const unit = value.charCodeAt(i);
    if (unit >= 0x20 && unit < 0x7f) continue;
    if (unit < 0xa0) {
      const code = unit.toString(16).toUpperCase().padStart(4, "0");
      return `holds the control character U+${code}`;
    }
    if (isHighSurrogate(unit) && isLowSurrogate(value.charCodeAt(i + 1))) i++;
    else if (isHighSurrogate(unit) || isLowSurrogate(unit)) return "holds a lone surrogate";
  }
  return undefined;
}

const ESCAPE = 0x5f; // _

function isPlain(byte: number): boolean {
  return (
    (byte >= 0x61 && byte <= 0x7a) || // a-z
    (byte >= 0x41 && byte <= 0x5a) || // A-Z
    (byte >= 0x30 && byte <= 0x39) || // 0-9
    byte === 0x2d // -
  );
}

const TOKEN_OF_BYTE: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  isPlain(byte) ? String.fromCharCode(byte) : `_${byte.toString(16).toUpperCase().padStart(2, "0")}`,
);

/**
 * A name as one safe NATS subject token, reversible and unlike any other name's: `[A-Za-z0-9-]` stay, every other byte
 * of the UTF-8 form becomes `_HH`. `alice@example.com` is `alice_40example_2Ecom`. At most three bytes a byte.
 * Throws a BimipError 422 for the empty name and for a lone surrogate, which have no such form.
 */
export function nameToToken(name: string): string {
  if (name.length === 0) throw new BimipError(ErrorCode.FIELD_WRONG, "a name is missing");
  let token = "";
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    if (unit > 0x7f) return token + encodedRest(name.slice(i));
    token += TOKEN_OF_BYTE[unit] as string;
  }
  return token;
}

function encodedRest(rest: string): string {
  const bytes = encodeUtf8(rest);
  if (decodeUtf8(bytes, 0, bytes.length) !== rest) {
    throw new BimipError(ErrorCode.FIELD_WRONG, "a name holds a lone surrogate");
  }
  let token = "";
  for (const byte of bytes) token += TOKEN_OF_BYTE[byte] as string;
  return token;
}

/** The name that a token of {@link nameToToken} stands for. Throws a BimipError 400 on a token it did not make. */
export function tokenToName(token: string): string {
  const bytes = new Uint8Array(token.length);
  let length = 0;
  for (let i = 0; i < token.length; i++) {
    const unit = token.charCodeAt(i);
    if (unit === ESCAPE) {
      const hex = token.slice(i + 1, i + 3);
      const byte = /^[0-9A-F]{2}$/.test(hex) ? Number.parseInt(hex, 16) : -1;
      if (byte < 0 || isPlain(byte)) throw notAToken(token);
      bytes[length++] = byte;
      i += 2;
    } else {
      if (!isPlain(unit)) throw notAToken(token);
      bytes[length++] = unit;
    }
  }
  const name = decodeUtf8(bytes, 0, length);
  if (name === undefined || name.length === 0) throw notAToken(token);
  return name;
}

function notAToken(token: string): BimipError {
  return new BimipError(ErrorCode.MALFORMED, `not the token of a name: ${JSON.stringify(token)}`);
}
