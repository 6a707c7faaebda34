import { createSecretKey } from "node:crypto";
import { AuthError } from "./auth-error.js";
import { type Claims, readClaims } from "./claims.js";
import { secretBytes } from "./secret.js";
import { isSignedWith } from "./signature.js";
import { checkHeader, readType, type TokenHeader } from "./token-header.js";
import { type TokenParts, tokenParts } from "./token-parts.js";
import { DEFAULT_RULES, type TokenRules } from "./token-rules.js";
import type { KeySource, VerificationKey } from "./verification-key.js";

/** Types that an access token may say it has (RFC 7519, RFC 9068). */
const ACCESS_TYPES: readonly (string | undefined)[] = [undefined, "jwt", "at+jwt"];

/** What a token may cost: so many keys are tried. Seldom are there more than two for a token that names none, or two of a name. */
const MAX_TRIED = 10;

/** Decides whether a token opens a session. */
export interface Verifier {
  /**
   * The claims of a good token.
   *
   * @param options.device the `?device=` of the connection: used where the token names no device, must equal it else
   * @throws AuthError (401) whose text begins with the header or claim at fault
   */
  verify(token: string, options?: { readonly device?: string }): Promise<Claims>;
}

/** The keys of a verifier, its rules where they are not the default, its clock (epoch milliseconds; default Date.now). */
export interface VerifierOptions extends Partial<TokenRules> {
  /** A key of HS256, at least 32 bytes; text counts as UTF-8. */
  readonly secret?: string | Uint8Array;
  readonly sources?: readonly KeySource[];
  readonly nowMs?: () => number;
}

/**
 * A verifier of tokens. It resolves within the current turn of the event loop wherever the key is known: a WebSocket
 * upgrade that is answered later has to leave uWebSockets' own cork, see services/gateway/src/adapters/uws.ts.
 *
 * @throws RangeError when the secret is too short, or no algorithm is allowed
 */
export function createVerifier(options: VerifierOptions): Verifier {
  const { secret, sources = [], nowMs = Date.now, ...given } = options;
  const rules: TokenRules = { ...DEFAULT_RULES, ...given };
  if (rules.algorithms.length === 0) throw new RangeError("no algorithm is allowed");
  const all = secret === undefined ? sources : [secretSource(secret), ...sources];

  return {
    async verify(token, { device } = {}) {
      const parts = tokenParts(token);
      const header = checkHeader(parts.header, rules.algorithms);
      if (!ACCESS_TYPES.includes(readType(parts.header))) throw new AuthError("typ", "is not that of an access token");
      let keys = keysFor(header, all, nowMs());
      if (keys.length === 0 && header.kid !== undefined) {
        const looking = lookFor(header, all);
        // Not awaited where nobody looks: the answer must come in this turn.
        if (looking !== undefined) {
          await looking;
          keys = keysFor(header, all, nowMs());
        }
      }
      if (keys.length === 0) throw noKey(header, keysFor({ ...header, kid: undefined }, all, nowMs()));
      checkSignature(parts, header, keys);
      return readClaims(parts.payload, device, { rules, nowMs: nowMs() });
    },
  };
}

function secretSource(secret: string | Uint8Array): KeySource {
  // As a key object it is imported once, not at each token.
  return { keys: [{ algorithm: "HS256", kid: undefined, key: createSecretKey(secretBytes(secret)) }] };
}

/** Keys of the token's algorithm: all where it names none, those of its name otherwise. */
function keysFor({ algorithm, kid }: TokenHeader, sources: readonly KeySource[], nowMs: number): VerificationKey[] {
  const keys: VerificationKey[] = [];
  for (const source of sources) {
    for (const key of source.keys) {
      if (key.algorithm !== algorithm || (kid !== undefined && key.kid !== kid)) continue;
      if (nowMs < (key.fromMs ?? 0) || nowMs >= (key.untilMs ?? Infinity)) continue;
      keys.push(key);
    }
  }
  return keys;
}

/** Secrets come from no address, so nobody looks for one. */
function lookFor({ algorithm }: TokenHeader, sources: readonly KeySource[]): Promise<unknown> | undefined {
  if (algorithm === "HS256") return undefined;
  const looking = sources.map((source) => source.look?.()).filter((one) => one !== undefined);
  return looking.length === 0 ? undefined : Promise.all(looking);
}

/** @param others the keys of the token's algorithm */
function noKey({ kid }: TokenHeader, others: readonly VerificationKey[]): AuthError {
  if (kid === undefined) return new AuthError("alg", "is one that no key is there for");
  const unknown = "names a key that is not known";
  const isNameless = others.length > 0 && others.every((key) => key.kid === undefined);
  return new AuthError("kid", isNameless ? `${unknown}; keys from a secret or a PEM file have no name` : unknown);
}

function checkSignature({ signed, signature }: TokenParts, { kid }: TokenHeader, keys: VerificationKey[]): void {
  if (kid === undefined && keys.length > MAX_TRIED) {
    throw new AuthError("kid", "is needed: too many keys could be meant");
  }
  if (!keys.slice(0, MAX_TRIED).some((key) => isSignedWith(key, signed, signature))) {
    throw new AuthError("token", "its signature does not fit");
  }
}
