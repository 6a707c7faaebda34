/** How long to wait between attempts. */
export interface BackoffOptions {
  /** Upper bound of the first wait in milliseconds; default 200. */
  readonly minDelayMs?: number;
  /** Upper bound of every wait in milliseconds; default 10,000. */
  readonly maxDelayMs?: number;
  /** Share of the wait that is random, 0 to 1; default 1 (full jitter), so that clients do not come back all at once. */
  readonly jitter?: number;
}

/** Milliseconds to wait before attempt number `attempt` (1 = the first one that waits): doubles, capped, jittered. */
export function backoffMs(attempt: number, options: BackoffOptions = {}, random: () => number = Math.random): number {
  const { minDelayMs = 200, maxDelayMs = 10_000, jitter = 1 } = options;
  const bound = Math.min(maxDelayMs, minDelayMs * 2 ** Math.max(0, attempt - 1));
  return bound * (1 - jitter * random());
}
