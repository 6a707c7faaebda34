/** One thing a service needs to do its work. */
export interface HealthPart {
  readonly ok: boolean;
  readonly detail?: string;
}

/** Readiness: `ok` when at least one part was set, all parts are ok, and the service is not stopping. */
export interface Readiness {
  readonly ok: boolean;
  readonly parts: Readonly<Record<string, HealthPart>>;
}

/** What a service knows about its own readiness. Nothing is ready until the first `set`. */
export interface Health {
  /** Records whether a part works; `detail` is a few words for the operator. */
  set(name: string, ok: boolean, detail?: string): void;
  /** The state now; a copy. */
  readonly ready: Readiness;
  /** Resolves at the first moment at which all parts are ok; at once if they are. */
  whenReady(): Promise<void>;
  /** From here on the service is never ready again. */
  shutDown(): void;
}

/** An empty health record. */
export function createHealth(): Health {
  const parts = new Map<string, HealthPart>();
  let waiting: (() => void)[] = [];
  let stopping = false;

  const ok = () => !stopping && parts.size > 0 && [...parts.values()].every((part) => part.ok);

  return {
    set(name, partOk, detail) {
      parts.set(name, detail === undefined ? { ok: partOk } : { ok: partOk, detail });
      if (!ok()) return;
      const resolved = waiting;
      waiting = [];
      for (const resolve of resolved) resolve();
    },
    get ready() {
      const entries = Object.fromEntries(parts);
      return { ok: ok(), parts: stopping ? { ...entries, stopping: { ok: false } } : entries };
    },
    whenReady() {
      if (ok()) return Promise.resolve();
      return new Promise((resolve) => {
        waiting.push(resolve);
      });
    },
    shutDown() {
      stopping = true;
    },
  };
}
