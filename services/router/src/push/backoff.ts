/** No pause is longer, unless the provider asks for it. */
const MAX_PAUSE_MS = 5 * 60_000;
/** A provider may ask for at most so much (Retry-After). */
const MAX_ASKED_PAUSE_MS = 60 * 60_000;

/**
 * Milliseconds until the next try, after `tries` failed ones: doubling from `firstMs`, a quarter up or down at random so
 * that what failed together does not come back together; at least what the provider asked for.
 */
export function pauseMs(tries: number, firstMs: number, askedMs = 0, random: () => number = Math.random): number {
  const doubled = Math.min(MAX_PAUSE_MS, firstMs * 2 ** (tries - 1));
  const jittered = Math.round(doubled * (0.75 + random() / 2));
  return Math.max(jittered, Math.min(askedMs, MAX_ASKED_PAUSE_MS));
}
