// The least that HS256 may be keyed with: the size of its hash (RFC 7518, 3.2).
const minBytes = 32;

/**
 * The bytes of an HS256 key; text counts as UTF-8.
 *
 * @throws RangeError when they are fewer than 32
 */
export function secretBytes(secret: string | Uint8Array): Uint8Array {
  const bytes = typeof secret === "string" ? new TextEncoder().encode(secret) : secret;
  if (bytes.length < minBytes) {
    throw new RangeError(`the secret has ${bytes.length} bytes, at least ${minBytes} are needed`);
  }
  return bytes;
}
