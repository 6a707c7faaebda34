/** state: told to all; directed: to one user alone; setting: contacts and visibility, which decide who may know the rest. */
export type AskedKind = "state" | "directed" | "setting";

interface Asked {
  readonly kind: AskedKind;
  readonly type: number;
  readonly work: () => Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * What one device asks of awareness, one after the other in the order in which it asked: what it says after a block, or after
 * it went private, must not be told as if it had been before.
 */
export class AskedInOrder {
  readonly #waiting: Asked[] = [];
  readonly #counts: Record<AskedKind, number> = { state: 0, directed: 0, setting: 0 };
  #settings: Promise<unknown> = Promise.resolve();
  #running = false;

  /** How many of a kind are not done. */
  count(kind: AskedKind): number {
    return this.#counts[kind];
  }

  /** Resolves once the settings that were asked for so far are done. */
  async settled(): Promise<void> {
    await this.#settings;
  }

  /**
   * Resolves, or rejects, as the work does when it had its turn. A state whose turn has not come gives way to a newer one of its
   * type, and resolves.
   *
   * @param type AwarenessType, of a state
   */
  add(kind: AskedKind, work: () => Promise<void>, type = 0): Promise<void> {
    if (kind === "state") this.#replace(type);
    const done = new Promise<void>((resolve, reject) => {
      this.#counts[kind]++;
      this.#waiting.push({ kind, type, work, resolve, reject });
    });
    if (kind === "setting") this.#settings = done.catch(() => undefined);
    if (!this.#running) void this.#run();
    return done;
  }

  /** Not one that a setting stands behind: who may know of the newer one is decided there. */
  #replace(type: number): void {
    for (let at = this.#waiting.length - 1; at >= 0; at--) {
      const asked = this.#waiting[at];
      if (asked === undefined || asked.kind === "setting") return;
      if (asked.kind !== "state" || asked.type !== type) continue;
      this.#waiting.splice(at, 1);
      this.#counts.state--;
      asked.resolve();
      return;
    }
  }

  async #run(): Promise<void> {
    this.#running = true;
    for (let asked = this.#waiting.shift(); asked !== undefined; asked = this.#waiting.shift()) {
      const { kind, work, resolve, reject } = asked;
      try {
        await work();
        resolve();
      } catch (error) {
        reject(error);
      }
      this.#counts[kind]--;
    }
    this.#running = false;
  }
}
