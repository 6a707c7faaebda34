import { randomUUID } from "node:crypto";
import { SignJWT } from "jose";
import { secretBytes } from "./secret.js";

const dayS = 86_400;

/** What a new token shall say. */
export interface TokenOptions {
  /** At least 32 bytes; text counts as UTF-8. */
  readonly secret: string | Uint8Array;
  readonly eid: string;
  /** Without it the token serves every device that names itself with `?device=`. */
  readonly device?: string;
  /** Seconds until it expires; default one day, negative for one that has expired. */
  readonly expiresInS?: number;
  /** Scopes, separated by spaces. */
  readonly scope?: string;
  /** What to show instead of the EID. */
  readonly name?: string;
  /** Default: a random UUID. */
  readonly jti?: string;
}

/**
 * Signs a token with HS256. Names are not checked here: whoever verifies it judges them.
 *
 * @throws RangeError when the secret is too short
 */
export async function issueToken(options: TokenOptions): Promise<string> {
  const nowS = Math.floor(Date.now() / 1_000);
  const { eid, device, scope, name } = options;
  const claims = {
    sub: eid,
    ...(device === undefined ? {} : { device_id: device }),
    ...(scope === undefined ? {} : { scope }),
    ...(name === undefined ? {} : { name }),
    jti: options.jti ?? randomUUID(),
    iat: nowS,
    exp: nowS + (options.expiresInS ?? dayS),
  };
  return new SignJWT(claims).setProtectedHeader({ alg: "HS256", typ: "JWT" }).sign(secretBytes(options.secret));
}
