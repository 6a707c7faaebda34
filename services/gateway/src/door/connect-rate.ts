import { dropOldest, type Rate } from "@bimip/runtime";
import { TokenRate } from "../limits/token-bucket.js";

const SWEEP_MS = 2_000;
/** Who has more addresses than that is not stopped by counting addresses. */
const MAX_ADDRESSES = 100_000;

/** How fast each address may open connections. A full bucket is not kept. */
export class ConnectRate {
  readonly #rate: TokenRate | undefined;
  /** When each one's bucket will be full: see TokenRate. */
  readonly #fullAtMs = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  /** @param rate undefined: as fast as they like */
  constructor(rate: Rate | undefined) {
    this.#rate = rate === undefined ? undefined : new TokenRate(rate);
  }

  /** Addresses that are kept. */
  get size(): number {
    return this.#fullAtMs.size;
  }

  /** Takes a token. Milliseconds until there is one; 0 = it was taken. */
  take(group: string, nowMs = performance.now()): number {
    const rate = this.#rate;
    if (rate === undefined) return 0;
    const fullAtMs = this.#fullAtMs.get(group) ?? 0;
    const waitMs = rate.waitMs(fullAtMs, nowMs);
    if (waitMs > 0) return waitMs;
    // The oldest in the map shall be the one that was not seen for longest.
    this.#fullAtMs.delete(group);
    this.#fullAtMs.set(group, rate.taken(fullAtMs, nowMs));
    if (this.#fullAtMs.size > MAX_ADDRESSES) dropOldest(this.#fullAtMs);
    this.#timer ??= setTimeout(() => this.#sweep(), SWEEP_MS).unref();
    return 0;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const [group, fullAtMs] of this.#fullAtMs) if (fullAtMs <= nowMs) this.#fullAtMs.delete(group);
    this.#timer = this.#fullAtMs.size === 0 ? undefined : setTimeout(() => this.#sweep(), SWEEP_MS).unref();
  }
}
