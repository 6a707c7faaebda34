import { createSecretKey } from "node:crypto";
import { compactVerify } from "jose";
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
 * A verifier of HS256 tokens; every other algorithm is refused.
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
      try {
        await compactVerify(token, key, { algorithms: [algorithm] });
      } catch (error) {
        throw new AuthError("token", "its signature does not fit", error);
      }
      return readClaims(payload, device, nowMs());
    },
  };
}

function checkHeader(header: JsonObject): void {
  if (header["alg"] !== algorithm) throw new AuthError("alg", `is not ${algorithm}`);
  // An extension that must be understood: we know none, and `b64` would make the payload another text.
  if (Object.hasOwn(header, "crit")) throw new AuthError("crit", "names an extension that is not supported");
}
