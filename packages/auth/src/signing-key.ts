import { createPrivateKey, createPublicKey, createSecretKey, type KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Algorithm } from "./algorithm.js";
import { privateJwk } from "./jwk.js";
import { KeyError } from "./key-error.js";
import { algorithmOf } from "./key-material.js";
import { secretBytes } from "./secret.js";

/** What new tokens are signed with. */
export interface SigningKey {
  readonly algorithm: Algorithm;
  /** Stands in the tokens, so that verifiers find the key; undefined = it has no name. */
  readonly kid: string | undefined;
  /** The private key, or the secret of HS256. */
  readonly key: KeyObject;
  /** What verifies its signatures: the public key, or the same secret. */
  readonly verificationKey: KeyObject;
}

/** The key of HS256 tokens. @throws RangeError when the secret has less than 32 bytes */
export function secretSigningKey(secret: string | Uint8Array): SigningKey {
  return signingKey({ algorithm: "HS256", kid: undefined, key: createSecretKey(secretBytes(secret)) });
}

/**
 * A key to sign tokens with: a private key as PEM or JWK (RSA of 2048 bits or more, P-256, Ed25519), or a text of at least 32
 * bytes for HS256, without the white space around it.
 *
 * @throws KeyError naming the file
 */
export async function loadSigningKey(path: string): Promise<SigningKey> {
  try {
    return parseSigningKey((await readFile(path, "utf8")).trim());
  } catch (cause) {
    throw new KeyError(`${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

function parseSigningKey(text: string): SigningKey {
  if (text.startsWith("{")) return signingKey(privateJwk(parseJson(text)));
  if (!text.startsWith("-----BEGIN ")) return secretSigningKey(text);
  const key = readPem(text);
  return signingKey({ algorithm: algorithmOf(key), kid: undefined, key });
}

/** What JSON.parse says of a text repeats some of it, and this text is secret. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new KeyError("is not JSON");
  }
}

function readPem(text: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch (cause) {
    throw new KeyError("holds no private key that can be read; one with a passphrase cannot", { cause });
  }
}

function signingKey(parts: Omit<SigningKey, "verificationKey">): SigningKey {
  return { ...parts, verificationKey: parts.key.type === "secret" ? parts.key : createPublicKey(parts.key) };
}
