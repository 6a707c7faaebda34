import { type Algorithm, isAlgorithm } from "./algorithm.js";
import { AuthError } from "./auth-error.js";
import { readMember, readText } from "./claim.js";
import type { JsonObject } from "./json-object.js";

/** What of a token's header decides. Its jku, x5u, jwk and x5c are not read: keys come from the configuration alone. */
export interface TokenHeader {
  readonly algorithm: Algorithm;
  readonly kid: string | undefined;
}

/**
 * @param allowed the algorithms of the configuration
 * @throws AuthError naming the parameter
 */
export function checkHeader(header: JsonObject, allowed: readonly Algorithm[]): TokenHeader {
  const algorithm = readMember(header, "alg");
  if (!isAlgorithm(algorithm) || !allowed.includes(algorithm)) {
    throw new AuthError("alg", `is not ${allowed.join(", ")}`);
  }
  // An extension that must be understood: we know none. `b64` would make the payload another text.
  for (const extension of ["crit", "b64"]) {
    if (Object.hasOwn(header, extension)) throw new AuthError(extension, "is an extension that is not supported");
  }
  return { algorithm, kid: readText(header, "kid") };
}

/** The `typ` as it is compared: in lower case, without `application/` (RFC 7515, 4.1.9). Undefined where there is none. */
export function readType(header: JsonObject): string | undefined {
  return readText(header, "typ")
    ?.toLowerCase()
    .replace(/^application\//, "");
}
