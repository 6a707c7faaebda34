import type { Rate } from "@bimip/runtime";

/** Sums of floating point numbers: whoever comes back at the very moment that was told is not refused for it. */
const ROUNDING_MS = 0.001;

/**
 * A token bucket in one number: when it will be full again, in milliseconds of any clock. 0, or whatever lies in the past, is a
 * full one; so nothing has to be made for who sends nothing, and nothing runs.
 */
export class TokenRate {
  /** Tokens that come in a second. */
  readonly perSecond: number;
  readonly #burst: number;
  readonly #gapMs: number;

  /** @param rate `burst` tokens are in a full bucket, at least 1 */
  constructor({ perSecond, burst }: Rate) {
    this.perSecond = perSecond;
    this.#burst = burst;
    this.#gapMs = 1_000 / perSecond;
  }

  /** Milliseconds until so many tokens are there, or until the bucket is full; 0 = now. */
  waitMs(fullAtMs: number, nowMs: number, tokens = 1): number {
    const waitMs = fullAtMs - Math.max(0, this.#burst - tokens) * this.#gapMs - nowMs;
    return waitMs > ROUNDING_MS ? waitMs : 0;
  }

  /** When the bucket will be full once they are taken. */
  taken(fullAtMs: number, nowMs: number, tokens = 1): number {
    return Math.max(fullAtMs, nowMs) + Math.min(this.#burst, tokens) * this.#gapMs;
  }
}
