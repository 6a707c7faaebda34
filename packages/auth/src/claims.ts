import { LIMITS } from "@bimip/protocol";
import { AuthError } from "./auth-error.js";
import { checkName, readMember, readText, readTimeMs } from "./claim.js";
import type { JsonObject } from "./json-object.js";
import { REFRESH_AUDIENCE } from "./refresh-token.js";
import type { TokenRules } from "./token-rules.js";

/** What a verified token says about its bearer. */
export interface Claims {
  /** The account: 1–255 bytes, no control characters. */
  readonly eid: string;
  /** The device, `connection_resource_id`: 1–128 bytes, no control characters. */
  readonly device: string;
  /** The token's own id, by which it can be revoked; never empty. */
  readonly jti: string | undefined;
  /** Unix epoch seconds, whole ones; undefined = the token does not say when it was issued. */
  readonly issuedAtS: number | undefined;
  /** Unix epoch milliseconds, a whole number; undefined = the token does not expire. */
  readonly expiresAtMs: number | undefined;
  readonly scopes: ReadonlySet<string>;
  /** What to show instead of the EID. */
  readonly name: string | undefined;
}

/**
 * Reads and checks the claims of a token whose signature was verified.
 *
 * @param device what the connection asked for, used where the token names no device
 * @throws AuthError naming the claim
 */
export function readClaims(
  payload: JsonObject,
  device: string | undefined,
  { rules, nowMs }: { readonly rules: TokenRules; readonly nowMs: number },
): Claims {
  checkIssuer(payload, rules.issuers);
  checkAudience(payload, rules.audiences);
  const { expiresAtMs, issuedAtMs } = checkTimes(payload, rules, nowMs);
  return {
    eid: readEid(payload),
    device: readDevice(payload, device),
    jti: readText(payload, "jti") || undefined,
    issuedAtS: issuedAtMs === undefined ? undefined : Math.floor(issuedAtMs / 1_000),
    expiresAtMs,
    scopes: new Set(
      readText(payload, "scope")
        ?.split(" ")
        .filter((scope) => scope !== ""),
    ),
    name: readText(payload, "name") || undefined,
  };
}

function checkIssuer(payload: JsonObject, issuers: readonly string[]): void {
  const issuer = readText(payload, "iss");
  if (issuers.length === 0) return;
  if (issuer === undefined) throw new AuthError("iss", "is missing");
  if (!issuers.includes(issuer)) throw new AuthError("iss", "is not an issuer that is trusted");
}

function checkAudience(payload: JsonObject, audiences: readonly string[]): void {
  const claimed = readMember(payload, "aud");
  const named: unknown[] = claimed === undefined ? [] : Array.isArray(claimed) ? claimed : [claimed];
  if (!named.every((one) => typeof one === "string"))
    throw new AuthError("aud", "is neither a text nor a list of texts");
  if (named.includes(REFRESH_AUDIENCE)) throw new AuthError("aud", "is that of a token for refreshing only");
  if (audiences.length === 0) return;
  if (claimed === undefined) throw new AuthError("aud", "is missing");
  if (!named.some((one) => audiences.includes(one))) throw new AuthError("aud", "does not name this broker");
}

/** Expiry has no skew: it is the bearer's to renew. */
function checkTimes(payload: JsonObject, { skewS, maxLifetimeS }: TokenRules, nowMs: number) {
  const latestMs = nowMs + skewS * 1_000;
  const expiresAtMs = readTimeMs(payload, "exp");
  if (expiresAtMs !== undefined && expiresAtMs <= nowMs) throw new AuthError("exp", "the token has expired");
  const notBeforeMs = readTimeMs(payload, "nbf");
  if (notBeforeMs !== undefined && notBeforeMs > latestMs) throw new AuthError("nbf", "the token is not valid yet");
  const issuedAtMs = readTimeMs(payload, "iat");
  if (issuedAtMs !== undefined && issuedAtMs > latestMs) throw new AuthError("iat", "lies in the future");
  if (maxLifetimeS > 0) {
    if (issuedAtMs === undefined) throw new AuthError("iat", "is missing");
    if (expiresAtMs === undefined) throw new AuthError("exp", "is missing");
    if (expiresAtMs - issuedAtMs > maxLifetimeS * 1_000) {
      throw new AuthError("exp", `lies more than ${maxLifetimeS} s after iat`);
    }
  }
  return { expiresAtMs, issuedAtMs };
}

function readEid(payload: JsonObject): string {
  const eid = readText(payload, "eid");
  const sub = readText(payload, "sub");
  if (eid !== undefined && sub !== undefined && eid !== sub) throw new AuthError("eid", "differs from sub");
  const claim = eid === undefined && sub !== undefined ? "sub" : "eid";
  return checkName(claim, eid ?? sub ?? "", LIMITS.eidBytes);
}

function readDevice(payload: JsonObject, asked: string | undefined): string {
  const claimed = readText(payload, "device_id");
  if (claimed !== undefined && asked !== undefined && claimed !== asked) {
    throw new AuthError("device_id", "differs from the device asked for");
  }
  const claim = claimed === undefined && asked !== undefined ? "device" : "device_id";
  return checkName(claim, claimed ?? asked ?? "", LIMITS.deviceBytes);
}
