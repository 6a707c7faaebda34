import { isPrivateJwk, isOctetJwk, publicJwk } from "./jwk.js";
import { isJsonObject } from "./json-object.js";
import { KeyError } from "./key-error.js";
import type { VerificationKey } from "./verification-key.js";

/** Far above any issuer's; each key of a token's name costs a verification. */
const MAX_KEYS = 100;

/** Keys that were read, and which of their neighbours cannot be used, with the reason. */
export interface KeyReading {
  readonly keys: readonly VerificationKey[];
  readonly skipped: readonly string[];
}

/**
 * The keys of a JWKS (RFC 7517, section 5). Keys that are for something else, or of a kind that is not supported, are
 * skipped; the first one of a name and algorithm counts.
 *
 * @param options.secrets whether it may hold secrets of HS256
 * @throws KeyError where it is no JWKS, holds too many keys, or one that only its owner may have
 */
export function readKeySet(set: unknown, options: { readonly secrets: boolean }): KeyReading {
  const members = isJsonObject(set) && Object.hasOwn(set, "keys") ? set["keys"] : undefined;
  if (!Array.isArray(members)) throw new KeyError("is not a JWKS: it has no list of keys");
  if (members.length > MAX_KEYS) throw new KeyError(`holds ${members.length} keys, at most ${MAX_KEYS} are taken`);
  // All of them before any is read: whoever publishes one such key has lost it, and knows little of the others.
  for (const [at, jwk] of members.entries()) checkPublic(jwk, options, `key ${at + 1}: `);
  const keys: VerificationKey[] = [];
  const skipped: string[] = [];
  for (const [at, jwk] of members.entries()) {
    try {
      const key = publicJwk(jwk);
      const twin = keys.some(
        ({ kid, algorithm }) => kid === key.kid && kid !== undefined && algorithm === key.algorithm,
      );
      if (twin) throw new KeyError("kid: is that of another key of the set");
      keys.push(key);
    } catch (error) {
      skipped.push(`key ${at + 1}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { keys, skipped };
}

/** @throws KeyError for a private key, and for a secret where none may be */
export function checkPublic(jwk: unknown, { secrets }: { readonly secrets: boolean }, where = ""): void {
  if (isPrivateJwk(jwk)) {
    throw new KeyError(`${where}is a private key; only the public part belongs here, and this one should be replaced`);
  }
  if (!secrets && isOctetJwk(jwk)) {
    throw new KeyError(`${where}is a secret, which nobody may publish; it should be replaced`);
  }
}
