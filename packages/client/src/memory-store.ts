import {
  type ClientStore,
  EMPTY_STATE,
  SEEN_ENTRIES,
  type StoredOutgoing,
  type StoredProgress,
  type StoredState,
} from "./client-store.js";

/** A store for as long as the object lives: for tests, and for apps that make their client anew within one process. */
export function memoryStore(): ClientStore {
  return new MemoryStore();
}

class MemoryStore implements ClientStore {
  readonly #outgoing = new Map<string, StoredOutgoing>();
  #progress: StoredProgress = EMPTY_STATE;
  #open = false;

  async load(): Promise<StoredState> {
    if (this.#open) throw new Error("it is open already");
    this.#open = true;
    return { ...this.#progress, outgoing: [...this.#outgoing.values()] };
  }

  async put(entry: StoredOutgoing): Promise<void> {
    this.#outgoing.set(entry.key, entry);
  }

  async remove(key: string): Promise<void> {
    this.#outgoing.delete(key);
  }

  async save(progress: StoredProgress): Promise<void> {
    this.#progress = { ...progress, seen: [...this.#progress.seen, ...progress.seen].slice(-SEEN_ENTRIES) };
  }

  async close(): Promise<void> {
    this.#open = false;
  }
}
