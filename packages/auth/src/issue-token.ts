import { randomUUID } from "node:crypto";
import { SignJWT, type JWTPayload } from "jose";
import { secretSigningKey, type SigningKey } from "./signing-key.js";

const dayS = 86_400;

/** What signs a token: a secret of at least 32 bytes (text counts as UTF-8) for HS256, or any key that was loaded. */
export type Signer = { readonly secret: string | Uint8Array } | { readonly key: SigningKey };

/** What a new token shall say. */
export type TokenOptions = Signer & {
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
  /** `iss`; default none. */
  readonly issuer?: string;
  /** `aud`; default none. */
  readonly audience?: string;
  /** The clock, Unix epoch milliseconds; default Date.now(). */
  readonly nowMs?: number;
};

/**
 * Signs a token, with the algorithm of its key. Names are not checked here: whoever verifies it judges them.
 *
 * @throws RangeError when the secret is too short
 */
export async function issueToken(options: TokenOptions): Promise<string> {
  const nowS = Math.floor((options.nowMs ?? Date.now()) / 1_000);
  const { eid, device, scope, name, issuer, audience } = options;
  const claims = {
    ...(issuer === undefined ? {} : { iss: issuer }),
    sub: eid,
    ...(audience === undefined ? {} : { aud: audience }),
    ...(device === undefined ? {} : { device_id: device }),
    ...(scope === undefined ? {} : { scope }),
    ...(name === undefined ? {} : { name }),
    jti: options.jti ?? randomUUID(),
    iat: nowS,
    exp: nowS + (options.expiresInS ?? dayS),
  };
  return signJwt("key" in options ? options.key : secretSigningKey(options.secret), "JWT", claims);
}

/** A signed JWT of that type with these claims. */
export async function signJwt({ algorithm, kid, key }: SigningKey, typ: string, claims: JWTPayload): Promise<string> {
  const header = { alg: algorithm, typ, ...(kid === undefined ? {} : { kid }) };
  return new SignJWT(claims).setProtectedHeader(header).sign(key);
}
