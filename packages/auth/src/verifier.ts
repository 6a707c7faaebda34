import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from "node:crypto";
import { AuthError } from "./auth-error.js";
import { type Claims, readClaims } from "./claims.js";
import { secretBytes } from "./secret.js";
import { type JsonObject, tokenParts } from "./token-parts.js";

const algorithm = "HS256";

/** Decides whether a token opens a session. */
export interface Verifier {
  /**
   * The claims of a good token.
   *
   * @param options.device the `?device=` of the connection: used where the token names no device, must equal it else
   * @throws AuthError (401) whose text begins with the claim at fault
   */
  verify(token: string, options?: { readonly device?: string }): Promise<Claims>;
}

/**
 * A verifier of HS256 tokens; every other algorithm is refused. It resolves within the current turn of the event loop: a
 * WebSocket upgrade that is answered later has to leave uWebSockets' own cork, see services/gateway/src/adapters/uws.ts.
 *
 * @param options.secret at least 32 bytes; text counts as UTF-8
 * @param options.nowMs the clock, Unix epoch milliseconds; default Date.now
 * @throws RangeError when the secret is too short
 */
export function createVerifier(options: {
  readonly secret: string | Uint8Array;
  readonly nowMs?: () => number;
}): Verifier {
  // As a key object it is imported once, not at each token.
  const key = createSecretKey(secretBytes(options.secret));
  const nowMs = options.nowMs ?? Date.now;
  return {
    async verify(token, { device } = {}) {
      const { header, payload } = tokenParts(token);
      checkHeader(header);
      if (!isSignedWith(key, token)) throw new AuthError("token", "its signature does not fit");
      return readClaims(payload, device, nowMs());
    },
  };
}

/** RFC 7515, section 5.2: the HMAC of everything before the last dot, compared in constant time. */
function isSignedWith(key: KeyObject, token: string): boolean {
  const dot = token.lastIndexOf(".");
  const signature = Buffer.from(token.slice(dot + 1), "base64url");
  const expected = createHmac("sha256", key).update(token.slice(0, dot)).digest();
  return signature.length === expected.length && timingSafeEqual(signature, expected);
}

function checkHeader(header: JsonObject): void {
  if (header["alg"] !== algorithm) throw new AuthError("alg", `is not ${algorithm}`);
  // An extension that must be understood: we know none, and `b64` would make the payload another text.
  if (Object.hasOwn(header, "crit")) throw new AuthError("crit", "names an extension that is not supported");
}
