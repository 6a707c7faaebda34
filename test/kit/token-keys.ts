import {
  constants,
  createHmac,
  createPublicKey,
  createSecretKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  randomBytes,
  sign,
} from "node:crypto";
import type { Algorithm, SigningKey, VerificationKey } from "@bimip/auth";

/** A key that the test signs with, and what the verifier is to know of it. */
export interface TestKey extends SigningKey {
  /** Public key, or the secret of HS256, as a JWK with `kid` where there is one. */
  readonly jwk: JsonWebKey & { kid?: string };
  /** Public key as PEM; "" for HS256. */
  readonly pem: string;
  readonly verification: VerificationKey;
}

export function makeKey(algorithm: Algorithm, kid?: string): TestKey {
  const { key, verificationKey } = makePair(algorithm);
  const jwk = { ...verificationKey.export({ format: "jwk" }), ...(kid === undefined ? {} : { kid }) };
  const pem = key.type === "secret" ? "" : String(verificationKey.export({ type: "spki", format: "pem" }));
  return { algorithm, kid, key, verificationKey, jwk, pem, verification: { algorithm, kid, key: verificationKey } };
}

function makePair(algorithm: Algorithm): { key: KeyObject; verificationKey: KeyObject } {
  const key = MAKE[algorithm]();
  return { key, verificationKey: key.type === "secret" ? key : createPublicKey(key) };
}

const MAKE: Readonly<Record<Algorithm, () => KeyObject>> = {
  HS256: () => createSecretKey(randomBytes(32)),
  RS256: () => generateKeyPairSync("rsa", { modulusLength: 2_048 }).privateKey,
  ES256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey,
  EdDSA: () => generateKeyPairSync("ed25519").privateKey,
};

/** A signature over that text. */
export type Signer = (input: string) => Uint8Array;

const SIGN: Readonly<Record<Algorithm, (key: KeyObject) => Signer>> = {
  HS256: (key) => hmac(key),
  RS256: (key) => (input) => sign("sha256", Buffer.from(input), { key, padding: constants.RSA_PKCS1_PADDING }),
  ES256: (key) => (input) => sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" }),
  EdDSA: (key) => (input) => sign(null, Buffer.from(input), key),
};

/** What the algorithm of the key makes of a text; also for keys that a verifier must not take. */
export function signerOf({ algorithm, key }: Pick<TestKey, "algorithm" | "key">): Signer {
  return SIGN[algorithm](key);
}

export function hmac(key: KeyObject | string | Uint8Array, hash = "sha256"): Signer {
  return (input) => createHmac(hash, key).update(input).digest();
}

export const base64url = (content: string | Uint8Array): string => Buffer.from(content).toString("base64url");

/**
 * A token of any header and payload, also such as no JWT library would make. Texts and bytes stand as they are, anything
 * else as JSON.
 */
export function rawToken(header: unknown, payload: unknown, signer: Signer): string {
  const input = `${base64url(contentOf(header))}.${base64url(contentOf(payload))}`;
  return `${input}.${base64url(signer(input))}`;
}

function contentOf(part: unknown): string | Uint8Array {
  return typeof part === "string" || part instanceof Uint8Array ? part : JSON.stringify(part);
}
