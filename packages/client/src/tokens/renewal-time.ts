import { leftMs, lifetimeMs, readClaims } from "./claims.js";

const MARGIN_MS = 30_000;
/** Of a token's lifetime. */
const MARGIN_SHARE = 0.2;
/** Share of the margin that is added at random: clients that connected together are not to renew together. */
const JITTER = 0.5;
/** For a token that has expired by our clock, though the server takes it, and that does not say how long it is good. */
const UNSURE_MS = 60_000;

/** Of its lifetime, that a token is used at least which came in place of another: with a clock that is far ahead each looks old. */
const LEAST_SHARE = 0.1;

/**
 * Milliseconds from now after which a token that the server takes is to be replaced; undefined: it does not expire.
 *
 * @param isNew it replaced another just now
 */
export function renewalMs(token: string, isNew: boolean, random: () => number = Math.random): number | undefined {
  const claims = readClaims(token);
  const left = leftMs(claims);
  if (left === undefined) return undefined;
  // The server takes it, so a clock that says otherwise is wrong: then it is as good as when it was new.
  const goodMs = left > 0 ? left : (lifetimeMs(claims) ?? UNSURE_MS);
  const lifetime = lifetimeMs(claims) ?? goodMs;
  const marginMs = Math.min(MARGIN_MS, lifetime * MARGIN_SHARE) * (1 + JITTER * random());
  return Math.max(isNew ? lifetime * LEAST_SHARE : 0, goodMs - marginMs);
}
