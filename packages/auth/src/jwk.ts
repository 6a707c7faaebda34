import { createPrivateKey, createPublicKey, createSecretKey, type KeyObject } from "node:crypto";
import type { Algorithm } from "./algorithm.js";
import { isJsonObject, type JsonObject } from "./json-object.js";
import { KeyError } from "./key-error.js";
import { algorithmOf } from "./key-material.js";
import { secretBytes } from "./secret.js";

const maxKidLength = 256;
/** Of RSA all but `d` would do to work out `d`. */
const privateMembers = ["d", "p", "q", "dp", "dq", "qi", "oth"];

/** A key of a JWK (RFC 7517), with what it is for. */
export interface JwkKey {
  readonly algorithm: Algorithm;
  readonly kid: string | undefined;
  readonly key: KeyObject;
}

export function isPrivateJwk(jwk: unknown): boolean {
  return isJsonObject(jwk) && privateMembers.some((member) => Object.hasOwn(jwk, member));
}

/** A secret, which verifies and signs. */
export function isOctetJwk(jwk: unknown): boolean {
  return isJsonObject(jwk) && Object.hasOwn(jwk, "k");
}

/**
 * A key to verify signatures with: the public one, of `oct` the secret.
 *
 * @throws KeyError where it is not for signatures, or not of a kind that is supported
 */
export function publicJwk(jwk: unknown): JwkKey {
  return readJwk(jwk, "verify", (object) => createPublicKey({ key: object, format: "jwk" }));
}

/** A key to sign with. @throws KeyError also where it is only the public one */
export function privateJwk(jwk: unknown): JwkKey {
  return readJwk(jwk, "sign", (object) => createPrivateKey({ key: object, format: "jwk" }));
}

function readJwk(jwk: unknown, operation: "verify" | "sign", create: (jwk: JsonObject) => KeyObject): JwkKey {
  if (!isJsonObject(jwk)) throw new KeyError("is not a JSON object");
  checkUse(jwk, operation);
  const { key, algorithm } = readMaterial(jwk, create);
  const claimed = readText(jwk, "alg");
  if (claimed !== undefined && claimed !== algorithm) {
    throw new KeyError(`alg: is not ${algorithm}, the one that this kind of key is used with here`);
  }
  return { kid: readKid(jwk), algorithm, key };
}

function readKid(jwk: JsonObject): string | undefined {
  const kid = readText(jwk, "kid");
  if (kid === "" || (kid?.length ?? 0) > maxKidLength) {
    throw new KeyError(`kid: is empty or longer than ${maxKidLength} characters`);
  }
  return kid;
}

function checkUse(jwk: JsonObject, operation: string): void {
  const use = readText(jwk, "use");
  if (use !== undefined && use !== "sig") throw new KeyError("use: is not sig");
  const operations = Object.hasOwn(jwk, "key_ops") ? jwk["key_ops"] : undefined;
  if (operations === undefined) return;
  if (!Array.isArray(operations) || !operations.includes(operation)) {
    throw new KeyError(`key_ops: does not hold ${operation}`);
  }
}

function readMaterial(jwk: JsonObject, create: (jwk: JsonObject) => KeyObject): Omit<JwkKey, "kid"> {
  if (readText(jwk, "kty") === "oct") {
    const secret = Buffer.from(readText(jwk, "k") ?? "", "base64url");
    return { key: createSecretKey(secretBytes(secret)), algorithm: "HS256" };
  }
  let key: KeyObject;
  try {
    key = create(jwk);
  } catch (cause) {
    throw new KeyError("is not a key that can be read", { cause });
  }
  return { key, algorithm: algorithmOf(key) };
}

function readText(jwk: JsonObject, member: string): string | undefined {
  const value = Object.hasOwn(jwk, member) ? jwk[member] : undefined;
  if (value === undefined || typeof value === "string") return value;
  throw new KeyError(`${member}: is not a text`);
}
