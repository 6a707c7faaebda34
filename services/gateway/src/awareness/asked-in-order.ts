import { type Awareness, AwarenessStatus, AwarenessType } from "@bimip/protocol";

/**
 * What is asked for. online, presence (another one), status (of type 2): told to all; directed: to one user alone; setting:
 * contacts and visibility, which decide who may know the rest.
 */
export type AskedKind = "online" | "presence" | "status" | "directed" | "setting";

/**
 * Kinds that a newer one takes the place of. ONLINE is more than a presence: it ends a status of type 2, so what is said
 * behind it does not make up for it.
 */
const REPLACED: Readonly<Record<AskedKind, readonly AskedKind[]>> = {
  online: ["online", "presence"],
  presence: ["presence"],
  status: ["status"],
  directed: [],
  setting: [],
};

interface Asked {
  readonly kind: AskedKind;
  readonly work: () => Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Of what is told to all. */
export function kindOf({ type, status }: Pick<Awareness, "type" | "status">): AskedKind {
  if (type === AwarenessType.STATUS) return "status";
  return status === AwarenessStatus.ONLINE ? "online" : "presence";
}

/**
 * What one device asks of awareness, one after the other in the order in which it asked: what it says after a block, or after
 * it went private, must not be told as if it had been before.
 */
export class AskedInOrder {
  readonly #waiting: Asked[] = [];
  readonly #counts: Record<AskedKind, number> = { online: 0, presence: 0, status: 0, directed: 0, setting: 0 };
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
   * Resolves, or rejects, as the work does when it had its turn. What is told to all gives way to a newer one as long as its
   * turn has not come, and resolves.
   */
  add(kind: AskedKind, work: () => Promise<void>): Promise<void> {
    this.#replace(REPLACED[kind]);
    const done = new Promise<void>((resolve, reject) => {
      this.#counts[kind]++;
      this.#waiting.push({ kind, work, resolve, reject });
    });
    if (kind === "setting") this.#settings = done.catch(() => undefined);
    if (!this.#running) void this.#run();
    return done;
  }

  /** Not what a setting stands behind: who may know of the newer one is decided there. */
  #replace(kinds: readonly AskedKind[]): void {
    if (kinds.length === 0) return;
    for (let at = this.#waiting.length - 1; at >= 0; at--) {
      const asked = this.#waiting[at];
      if (asked === undefined || asked.kind === "setting") return;
      if (!kinds.includes(asked.kind)) continue;
      this.#waiting.splice(at, 1);
      this.#counts[asked.kind]--;
      asked.resolve();
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
