/** The first pause where the server does not say how long; doubled with each that follows, up to the last. */
const FIRST_PAUSE_MS = 250;
const MAX_PAUSE_MS = 1_000;
/** Each time that so long passes without a refusal, twice as much is tried. */
const GROWTH_MS = 5_000;
/** After so long the next refusal is a first one. */
const CALM_MS = 10_000;
/** Share of a pause that is added at random: not all clients of an account are to come back at once. */
const JITTER = 0.2;

export interface PaceOptions {
  /** How much may be under way. */
  readonly max: number;
  /** The same once the server has said that it was too much; with time it becomes more again. */
  readonly maxAfterRefusal: number;
  /** The pause is over. */
  readonly onGo: () => void;
}

/**
 * How much may be under way, and when. A server that answers 429 counts what it refuses, and closes a session for too much of
 * it: so the first refusal stops what would follow, afterwards only a little is tried at once, and then slowly more.
 */
export class Pace {
  readonly #o: PaceOptions;
  #refusedMs = Number.NEGATIVE_INFINITY;
  /** When the last pause ended, or will end. */
  #untilMs = Number.NEGATIVE_INFINITY;
  #pauses = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: PaceOptions) {
    this.#o = options;
  }

  /** How much may be under way now; 0 = nothing is to be sent. */
  get limit(): number {
    if (this.#timer !== undefined) return 0;
    // A timer may be a millisecond early.
    const growths = Math.max(0, Math.floor((performance.now() - this.#untilMs) / GROWTH_MS));
    return Math.min(this.#o.max, this.#o.maxAfterRefusal * 2 ** growths);
  }

  /** A 429. @param waitMs as the server said; 0 = it did not */
  refused(waitMs: number): void {
    const now = performance.now();
    // What was under way when the pause began is refused as well: that is the same refusal.
    if (this.#timer === undefined) this.#pauses = now - this.#refusedMs > CALM_MS ? 1 : this.#pauses + 1;
    this.#refusedMs = now;
    const pauseMs = Math.max(waitMs, Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.#pauses - 1)));
    const untilMs = now + pauseMs * (1 + JITTER * Math.random());
    if (this.#timer !== undefined && untilMs <= this.#untilMs) return;
    clearTimeout(this.#timer);
    this.#untilMs = untilMs;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#o.onGo();
    }, untilMs - now);
  }

  /** The connection is gone: the next one may begin at once, but still with little. */
  interrupt(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#untilMs = performance.now();
  }
}
