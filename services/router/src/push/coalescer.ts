/**
 * Calls `flush` for a key at once, then at most every `pauseMs`, with everything that was added meanwhile; what was added
 * last is never forgotten. Flushes of one key do not overlap.
 */
export class Coalescer<T> {
  readonly #pauseMs: number;
  readonly #flush: (key: string, items: readonly T[]) => Promise<void>;
  /** What waits, by key; a key is here while its pause lasts. */
  readonly #waiting = new Map<string, T[]>();
  readonly #running = new Set<Promise<void>>();
  #ended = false;
  /** Ends each pause under way. */
  readonly #wakes = new Set<() => void>();

  /** @param flush must not reject */
  constructor(pauseMs: number, flush: (key: string, items: readonly T[]) => Promise<void>) {
    this.#pauseMs = pauseMs;
    this.#flush = flush;
  }

  add(key: string, item: T): void {
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) return void waiting.push(item);
    this.#waiting.set(key, [item]);
    const run = this.#run(key);
    this.#running.add(run);
    void run.finally(() => this.#running.delete(run));
  }

  /** Flushes what waits, without pauses; nothing may be added afterwards. */
  async end(): Promise<void> {
    this.#ended = true;
    for (const wake of this.#wakes) wake();
    await Promise.all(this.#running);
  }

  async #run(key: string): Promise<void> {
    for (;;) {
      const items = this.#waiting.get(key) ?? [];
      if (items.length === 0) break;
      this.#waiting.set(key, []);
      await this.#flush(key, items);
      if (!this.#ended) await this.#pause();
    }
    this.#waiting.delete(key);
  }

  async #pause(): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#wakes.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, this.#pauseMs);
      this.#wakes.add(wake);
    });
  }
}
