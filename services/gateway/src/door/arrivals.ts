import { dropOldest } from "@bimip/runtime";

/** After so long the transport has closed a connection that did not ask anything: its timer has 10 s, in steps of 4 s. */
const SILENT_MS = 12_000;
const MAX_ADDRESSES = 100_000;

/**
 * Connections that were accepted and have not asked anything yet, by address. One that leaves without a word is not heard
 * of by its address; it is counted until the transport would have closed it.
 */
export class Arrivals {
  readonly #limit: number;
  /** When each came, by address, oldest first. */
  readonly #silent = new Map<string, number[]>();
  #timer: NodeJS.Timeout | undefined;

  /** @param limit of one address at a time; 0 = none */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Addresses that are kept. */
  get size(): number {
    return this.#silent.size;
  }

  /** Counts one more; false: it is one too many, and not counted. */
  take(group: string, nowMs = performance.now()): boolean {
    if (this.#limit === 0) return true;
    const silent = this.#silent.get(group) ?? [];
    while (silent[0] !== undefined && silent[0] <= nowMs - SILENT_MS) silent.shift();
    if (silent.length >= this.#limit) return false;
    silent.push(nowMs);
    this.#silent.delete(group);
    this.#silent.set(group, silent);
    if (this.#silent.size > MAX_ADDRESSES) dropOldest(this.#silent);
    this.#timer ??= setTimeout(() => this.#sweep(), SILENT_MS).unref();
    return true;
  }

  /** Whether an address has one; of any where they are not counted. */
  has(group: string, nowMs = performance.now()): boolean {
    return this.#limit === 0 || (this.#silent.get(group)?.at(-1) ?? Number.NEGATIVE_INFINITY) > nowMs - SILENT_MS;
  }

  /** One of them has asked something. */
  asked(group: string): void {
    const silent = this.#silent.get(group);
    if (silent === undefined) return;
    silent.shift();
    if (silent.length === 0) this.#silent.delete(group);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #sweep(): void {
    const goneMs = performance.now() - SILENT_MS;
    for (const [group, silent] of this.#silent) {
      if ((silent.at(-1) ?? 0) <= goneMs) this.#silent.delete(group);
    }
    this.#timer = this.#silent.size === 0 ? undefined : setTimeout(() => this.#sweep(), SILENT_MS).unref();
  }
}
