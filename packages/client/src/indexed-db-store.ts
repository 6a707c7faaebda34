/// <reference lib="dom" />
import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import {
  type ClientStore,
  EMPTY_STATE,
  SEEN_ENTRIES,
  type StoredOutgoing,
  type StoredProgress,
  type StoredState,
} from "./client-store.js";

interface Schema extends DBSchema {
  /** Keys count up: the order they were put in. */
  outgoing: { key: number; value: StoredOutgoing; indexes: { key: string } };
  seen: { key: number; value: string };
  progress: { key: "progress"; value: Omit<StoredProgress, "seen"> };
}

type Database = IDBPDatabase<Schema>;

const LOCK_WAIT_MS = 2_000;
/** Old names are removed in rounds of so many. */
const SEEN_SLACK = 1_000;

/**
 * A store in the browser's IndexedDB database of that name: one per account and device. A second tab that uses the
 * same one is refused, where the browser has locks (navigator.locks: pages served over https, or from localhost).
 */
export function indexedDbStore(name: string): ClientStore {
  return new IndexedDbStore(name);
}

class IndexedDbStore implements ClientStore {
  readonly #name: string;
  #isOpen = false;
  /** Undefined also after the browser dropped it: the next who needs it opens it again. */
  #database: Promise<Database> | undefined;
  #unlock: () => void = () => undefined;
  #seenRemovedTo = 0;

  constructor(name: string) {
    this.#name = name;
  }

  async load(): Promise<StoredState> {
    if (this.#isOpen) throw new Error(`the database ${this.#name} is open already`);
    this.#unlock = await lock(this.#name);
    this.#isOpen = true;
    try {
      const database = await this.#opened();
      const [outgoing, seen, progress] = await Promise.all([
        database.getAll("outgoing"),
        database.getAll("seen"),
        database.get("progress", "progress"),
      ]);
      return { ...EMPTY_STATE, ...progress, outgoing, seen: seen.slice(-SEEN_ENTRIES) };
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async put(entry: StoredOutgoing): Promise<void> {
    const transaction = (await this.#opened()).transaction("outgoing", "readwrite", { durability: "strict" });
    await complete(transaction, async () => {
      await transaction.store.put(entry);
    });
  }

  async remove(key: string): Promise<void> {
    const transaction = (await this.#opened()).transaction("outgoing", "readwrite");
    await complete(transaction, async () => {
      const place = await transaction.store.index("key").getKey(key);
      if (place !== undefined) await transaction.store.delete(place);
    });
  }

  async save({ seen, ...progress }: StoredProgress): Promise<void> {
    const transaction = (await this.#opened()).transaction(["progress", "seen"], "readwrite");
    await complete(transaction, async () => {
      const names = transaction.objectStore("seen");
      await transaction.objectStore("progress").put(progress, "progress");
      let last = 0;
      for (const name of seen) last = await names.put(name);
      if (last - SEEN_ENTRIES <= this.#seenRemovedTo + SEEN_SLACK) return;
      this.#seenRemovedTo = last - SEEN_ENTRIES;
      await names.delete(IDBKeyRange.upperBound(this.#seenRemovedTo));
    });
  }

  async close(): Promise<void> {
    const database = this.#database;
    this.#isOpen = false;
    this.#database = undefined;
    await database?.then(
      (opened) => opened.close(),
      () => undefined,
    );
    this.#unlock();
    this.#unlock = () => undefined;
  }

  #opened(): Promise<Database> {
    if (!this.#isOpen) return Promise.reject(new Error(`the database ${this.#name} is not open`));
    this.#database ??= this.#open();
    return this.#database;
  }

  #open(): Promise<Database> {
    const forget = (): void => {
      if (this.#database === database) this.#database = undefined;
    };
    // Terminated: by the browser, as when the disk failed or the user cleared the site's data.
    const database = openDB<Schema>(this.#name, 1, { upgrade: makeStores, terminated: forget });
    database.catch(forget);
    return database;
  }
}

/** Resolves when the work is committed. Waits for both, so that neither is left as an unhandled rejection. */
async function complete({ done }: { readonly done: Promise<void> }, work: () => Promise<void>): Promise<void> {
  await Promise.all([work(), done]);
}

function makeStores(database: Database): void {
  database.createObjectStore("outgoing", { autoIncrement: true }).createIndex("key", "key");
  database.createObjectStore("seen", { autoIncrement: true });
  database.createObjectStore("progress");
}

/** Takes the lock of that name for as long as the page lives, or until the answer is called. */
async function lock(name: string): Promise<() => void> {
  // Missing on pages that are not served securely, and in Node.
  const locks = (globalThis.navigator as Navigator | undefined)?.locks;
  if (locks === undefined) return () => undefined;
  return new Promise((resolve, reject) => {
    // The page before a reload may hold it a moment longer.
    const signal = AbortSignal.timeout(LOCK_WAIT_MS);
    const request = locks.request(`bimip:${name}`, { signal }, () => new Promise<void>((release) => resolve(release)));
    request.catch((cause: unknown) => reject(new Error(`another tab is using the database ${name}`, { cause })));
  });
}
