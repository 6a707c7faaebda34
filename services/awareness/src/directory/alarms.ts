import { alarmAt } from "@bimip/runtime";

/** One alarm per key; a new one replaces the older. */
export class Alarms {
  readonly #stops = new Map<string, () => void>();

  /** @param atMs epoch milliseconds; past: soon */
  set(key: string, atMs: number, ring: () => void): void {
    this.clear(key);
    const rings = (): void => {
      this.#stops.delete(key);
      ring();
    };
    this.#stops.set(key, alarmAt(atMs, rings));
  }

  clear(key: string): void {
    this.#stops.get(key)?.();
    this.#stops.delete(key);
  }

  clearAll(): void {
    for (const stop of this.#stops.values()) stop();
    this.#stops.clear();
  }
}
