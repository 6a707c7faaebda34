import { nameProblem } from "@bimip/protocol";
import { AuthError } from "./auth-error.js";
import type { JsonObject } from "./json-object.js";

/** The value of a claim or header; own properties only: Object.prototype must not answer for it. */
export function readMember(object: JsonObject, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

/** @throws AuthError where it is there and no text */
export function readText(object: JsonObject, name: string): string | undefined {
  const value = readMember(object, name);
  if (value === undefined || typeof value === "string") return value;
  throw new AuthError(name, "is not a text");
}

/** A NumericDate (seconds, fractions allowed) as whole milliseconds. @throws AuthError where it is there and no number */
export function readTimeMs(object: JsonObject, name: string): number | undefined {
  const value = readMember(object, name);
  if (value === undefined) return undefined;
  // What is too large for a number is read as Infinity.
  if (typeof value !== "number") throw new AuthError(name, "is not a number of seconds");
  return Math.min(Math.floor(value * 1_000), Number.MAX_SAFE_INTEGER);
}

/** @throws AuthError where it is no EID or device */
export function checkName(claim: string, value: string, maxBytes: number): string {
  const problem = nameProblem(value, maxBytes);
  if (problem !== undefined) throw new AuthError(claim, problem);
  return value;
}
