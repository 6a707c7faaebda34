import type { Stanza } from "@bimip/protocol";
import { SEEN_ENTRIES } from "./client-store.js";

/** What makes two log entries the same one, though stored twice; undefined for what has no id. */
export function entryName({ kind, value }: Stanza): string | undefined {
  if (kind !== "message" && kind !== "pushNotification" && kind !== "event" && kind !== "signal") return undefined;
  if (value.id === "") return undefined;
  // One id may go to several recipients, whose copies lie in the same log; of a Signal, several statuses are told.
  const parts = [kind, value.from?.eid ?? "", value.to?.eid ?? "", value.id];
  if (kind === "signal") parts.push(String(value.status));
  return parts.join("\0");
}

/** The last names seen. */
export class SeenEntries {
  readonly #names = new Set<string>();

  constructor(names: readonly string[] = []) {
    for (const name of names) this.add(name);
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** It is to be taken when it comes again. */
  delete(name: string): void {
    this.#names.delete(name);
  }

  add(name: string): void {
    this.#names.add(name);
    if (this.#names.size <= SEEN_ENTRIES) return;
    // A Set lists what was added first, first.
    for (const oldest of this.#names) {
      this.#names.delete(oldest);
      return;
    }
  }
}
