import type { BimipError } from "@bimip/protocol";

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, min: 60_000 };
/** Nobody is made to wait for longer by a text. */
const MAX_MS = 3_600_000;

/** Milliseconds after which the server wants to be asked again, as `details` say ("try again in 1.5 s"); 0 = not said. */
export function retryAfterMs({ details }: Pick<BimipError, "details">): number {
  const match = /\b(?:again|back) in (\d{1,9}(?:\.\d{1,6})?) ?(ms|s|min)\b/.exec(details);
  return match === null ? 0 : Math.min(MAX_MS, Number(match[1]) * (UNITS_MS[match[2] ?? ""] ?? 0));
}
