import { LIMITS, nameProblem } from "@bimip/protocol";
import { AuthError } from "./auth-error.js";
import type { JsonObject } from "./token-parts.js";

/** What a verified token says about its bearer. */
export interface Claims {
  /** The account: 1–255 bytes, no control characters. */
  readonly eid: string;
  /** The device, `connection_resource_id`: 1–128 bytes, no control characters. */
  readonly device: string;
  /** The token's own id, by which it can be revoked. */
  readonly jti: string | undefined;
  /** Unix epoch milliseconds, a whole number; undefined = the token does not expire. */
  readonly expiresAtMs: number | undefined;
  readonly scopes: ReadonlySet<string>;
  /** What to show instead of the EID. */
  readonly name: string | undefined;
}

// Clocks of issuer and gateway may differ by so much in nbf and iat. Expiry has no skew: it is the bearer's to renew.
const skewMs = 5_000;

/**
 * Reads and checks the claims of a token whose signature was verified.
 *
 * @param device what the connection asked for, used where the token names no device
 * @throws AuthError naming the claim
 */
export function readClaims(payload: JsonObject, device: string | undefined, nowMs: number): Claims {
  const expiresAtMs = readTime(payload, "exp");
  if (expiresAtMs !== undefined && expiresAtMs <= nowMs) throw new AuthError("exp", "the token has expired");
  const notBeforeMs = readTime(payload, "nbf");
  if (notBeforeMs !== undefined && notBeforeMs > nowMs + skewMs)
    throw new AuthError("nbf", "the token is not valid yet");
  const issuedAtMs = readTime(payload, "iat");
  if (issuedAtMs !== undefined && issuedAtMs > nowMs + skewMs) throw new AuthError("iat", "lies in the future");
  return {
    eid: readEid(payload),
    device: readDevice(payload, device),
    jti: readText(payload, "jti"),
    expiresAtMs,
    scopes: new Set(
      readText(payload, "scope")
        ?.split(" ")
        .filter((scope) => scope !== ""),
    ),
    name: readText(payload, "name") || undefined,
  };
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

function checkName(claim: string, value: string, maxBytes: number): string {
  const problem = nameProblem(value, maxBytes);
  if (problem !== undefined) throw new AuthError(claim, problem);
  return value;
}

/** Own properties only: a claim must not be answered by Object.prototype. */
function readClaim(payload: JsonObject, claim: string): unknown {
  return Object.hasOwn(payload, claim) ? payload[claim] : undefined;
}

function readText(payload: JsonObject, claim: string): string | undefined {
  const value = readClaim(payload, claim);
  if (value === undefined || typeof value === "string") return value;
  throw new AuthError(claim, "is not a text");
}

/** A NumericDate (seconds, fractions allowed) as whole milliseconds. */
function readTime(payload: JsonObject, claim: string): number | undefined {
  const value = readClaim(payload, claim);
  if (value === undefined) return undefined;
  if (typeof value !== "number") throw new AuthError(claim, "is not a number of seconds");
  return Math.min(Math.floor(value * 1_000), Number.MAX_SAFE_INTEGER);
}
