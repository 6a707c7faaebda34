/** The longest timer that Node keeps, 24.8 days. */
const MAX_TIMER_MS = 2_147_483_647;

/** One alarm per key; a new one replaces the older. */
export class Alarms {
  readonly #timers = new Map<string, NodeJS.Timeout>();

  /** @param atMs epoch milliseconds; past: soon */
  set(key: string, atMs: number, ring: () => void): void {
    this.clear(key);
    const leftMs = Math.max(atMs - Date.now(), 0);
    const next =
      leftMs > MAX_TIMER_MS
        ? () => this.set(key, atMs, ring)
        : () => {
            // Timers ring up to a millisecond early, and clocks are set.
            if (Date.now() < atMs) return this.set(key, atMs, ring);
            this.#timers.delete(key);
            ring();
          };
    this.#timers.set(key, setTimeout(next, Math.min(leftMs, MAX_TIMER_MS)).unref());
  }

  clear(key: string): void {
    const timer = this.#timers.get(key);
    if (timer === undefined) return;
    clearTimeout(timer);
    this.#timers.delete(key);
  }

  clearAll(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}
