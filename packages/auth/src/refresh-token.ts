import { LIMITS } from "@bimip/protocol";
import { AuthError } from "./auth-error.js";
import { checkName, readText, readTimeMs } from "./claim.js";
import { signJwt } from "./issue-token.js";
import type { JsonObject } from "./json-object.js";
import { isSignedWith } from "./signature.js";
import type { SigningKey } from "./signing-key.js";
import { checkHeader, readType } from "./token-header.js";
import { tokenParts } from "./token-parts.js";

const TYPE = "refresh+jwt";
/** An access token never has this audience: whoever takes one for the other is told by it, and by the type. */
export const REFRESH_AUDIENCE = "bimip-refresh";

/** What a refresh token says. It lets nobody in: the broker makes new tokens for whoever has the newest one of a family. */
export interface RefreshClaims {
  readonly eid: string;
  readonly device: string;
  /** Which row of refresh tokens it belongs to; another one each time that a device begins one. */
  readonly family: string;
  /** Its number in that row, from 1 on. */
  readonly generation: number;
  /** Epoch milliseconds. */
  readonly expiresAtMs: number;
}

/** Signs a refresh token. `nowMs`: the clock, default Date.now(). */
export async function issueRefreshToken(
  options: RefreshClaims & { readonly key: SigningKey; readonly nowMs?: number },
): Promise<string> {
  const { key, eid, device, family, generation, expiresAtMs, nowMs = Date.now() } = options;
  return signJwt(key, TYPE, {
    sub: eid,
    device_id: device,
    aud: REFRESH_AUDIENCE,
    family,
    gen: generation,
    iat: Math.floor(nowMs / 1_000),
    exp: Math.floor(expiresAtMs / 1_000),
  });
}

/**
 * What a refresh token says, if it was signed with this key and has not expired. Whether it was used before is for the
 * record of its family to say.
 *
 * @param options.nowMs the clock, Unix epoch milliseconds; default Date.now()
 * @throws AuthError (401) whose text begins with the header or claim at fault
 */
export function verifyRefreshToken(
  token: string,
  options: { readonly key: SigningKey; readonly nowMs?: number },
): RefreshClaims {
  const { key, nowMs = Date.now() } = options;
  const { header, payload, signed, signature } = tokenParts(token);
  const { kid } = checkHeader(header, [key.algorithm]);
  if (readType(header) !== TYPE) throw new AuthError("typ", "is not that of a refresh token");
  if (kid !== key.kid) throw new AuthError("kid", "names a key that is not known");
  if (!isSignedWith({ algorithm: key.algorithm, key: key.verificationKey }, signed, signature)) {
    throw new AuthError("token", "its signature does not fit");
  }
  if (readText(payload, "aud") !== REFRESH_AUDIENCE) throw new AuthError("aud", "is not that of a refresh token");
  const expiresAtMs = readTimeMs(payload, "exp");
  if (expiresAtMs === undefined) throw new AuthError("exp", "is missing");
  if (expiresAtMs <= nowMs) throw new AuthError("exp", "the token has expired");
  return {
    eid: checkName("sub", readText(payload, "sub") ?? "", LIMITS.eidBytes),
    device: checkName("device_id", readText(payload, "device_id") ?? "", LIMITS.deviceBytes),
    family: readFamily(payload),
    generation: readGeneration(payload),
    expiresAtMs,
  };
}

function readFamily(payload: JsonObject): string {
  const family = readText(payload, "family") ?? "";
  if (family === "") throw new AuthError("family", "is missing");
  return family;
}

function readGeneration(payload: JsonObject): number {
  const generation = Object.hasOwn(payload, "gen") ? payload["gen"] : undefined;
  if (typeof generation === "number" && Number.isSafeInteger(generation) && generation >= 1) return generation;
  throw new AuthError("gen", "is not a number from 1 on");
}
