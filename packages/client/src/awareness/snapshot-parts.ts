import type { Awareness } from "@bimip/protocol";

/** Gathers a snapshot that comes in parts, and what comes between them. */
export class SnapshotParts {
  /** Undefined: none is being gathered. */
  #parts: Awareness[] | undefined;
  /** Is newer than the snapshot. */
  #behind: Awareness[] = [];

  add(part: readonly Awareness[]): void {
    this.#parts ??= [];
    for (const awareness of part) this.#parts.push(awareness);
  }

  /** true: the changes wait for the snapshot's end. */
  hold(changes: readonly Awareness[]): boolean {
    if (this.#parts === undefined) return false;
    for (const awareness of changes) this.#behind.push(awareness);
    return true;
  }

  /** The whole snapshot, and what came meanwhile. */
  end(last: readonly Awareness[]): { readonly snapshot: readonly Awareness[]; readonly behind: readonly Awareness[] } {
    const ended = { snapshot: [...(this.#parts ?? []), ...last], behind: this.#behind };
    this.reset();
    return ended;
  }

  /** The rest will not come. */
  reset(): void {
    this.#parts = undefined;
    this.#behind = [];
  }
}
