const FIRST_MS = 100;
const MOST_MS = 5_000;
// A process that ran for so long did not die of how it was started.
const HEALTHY_MS = 30_000;

/** Wait in milliseconds before the next start of a process that died. */
export interface Backoff {
  /** @param upMs how long the last run lasted. Doubles from 100 ms to 5 s, and starts anew after a run of 30 s. */
  next(upMs: number): number;
}

export function createBackoff(): Backoff {
  let delayMs = FIRST_MS;
  return {
    next(upMs) {
      if (upMs >= HEALTHY_MS) delayMs = FIRST_MS;
      const waitMs = delayMs;
      delayMs = Math.min(delayMs * 2, MOST_MS);
      return waitMs;
    },
  };
}
