import { createHmac, type KeyObject, timingSafeEqual, verify } from "node:crypto";
import type { Algorithm } from "./algorithm.js";

/** r and s of ES256 after one another, 32 bytes each (RFC 7518, 3.4); as many of Ed25519. */
const ELLIPTIC_BYTES = 64;

/** A key and the one algorithm that it verifies. */
export interface SignatureKey {
  readonly algorithm: Algorithm;
  /** The public key; the secret of HS256. */
  readonly key: KeyObject;
}

type Check = (key: KeyObject, signed: string, signature: Uint8Array) => boolean;

const CHECKS: Readonly<Record<Algorithm, Check>> = {
  HS256(key, signed, signature) {
    const expected = createHmac("sha256", key).update(signed).digest();
    return signature.length === expected.length && timingSafeEqual(signature, expected);
  },
  RS256: (key, signed, signature) => verify("sha256", Buffer.from(signed), key, signature),
  // Not DER, which many libraries make, and which has more than one form for a signature.
  ES256: (key, signed, signature) =>
    signature.length === ELLIPTIC_BYTES &&
    verify("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" }, signature),
  EdDSA: (key, signed, signature) =>
    signature.length === ELLIPTIC_BYTES && verify(null, Buffer.from(signed), key, signature),
};

/** Whether that text was signed with this key, by the key's algorithm whatever the token says of its own. */
export function isSignedWith({ algorithm, key }: SignatureKey, signed: string, signature: Uint8Array): boolean {
  return CHECKS[algorithm](key, signed, signature);
}
