/** What was said so long before NATS was lost may not have arrived: the client drops what it had not sent, and says nothing. */
const KEPT_MS = 10_000;

/** What this replica told a moment ago, to be told again when NATS was away. */
export class Recent {
  readonly #told = new Map<string, { readonly atMs: number; readonly tell: () => void }>();

  /** @param key of the changed value: a newer change takes the place of an older one */
  add(key: string, tell: () => void): void {
    const now = performance.now();
    this.#told.delete(key);
    this.#told.set(key, { atMs: now, tell });
    for (const [oldest, { atMs }] of this.#told) {
      if (now - atMs < KEPT_MS) return;
      this.#told.delete(oldest);
    }
  }

  tellAgain(): void {
    const told = [...this.#told.values()];
    this.#told.clear();
    for (const { tell } of told) tell();
  }

  clear(): void {
    this.#told.clear();
  }
}
