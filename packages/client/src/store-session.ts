import { BimipError, ErrorCode } from "@bimip/protocol";
import type { ClientStore, StoredOutgoing, StoredProgress, StoredState } from "./client-store.js";

export interface StoreHandlers {
  /** At each opening, before `open` resolves. */
  readonly onOpened: (state: StoredState) => void;
  readonly onError: (error: BimipError) => void;
}

/** A store as the client uses it: opened once, written in the background, its errors told in one place. */
export class StoreSession {
  readonly #store: ClientStore;
  readonly #handlers: StoreHandlers;
  #opened: Promise<StoredState> | undefined;
  #closed: Promise<void> = Promise.resolve();
  readonly #writes = new Set<Promise<void>>();
  #saving: Promise<void> | undefined;
  #next: (StoredProgress & { readonly seen: string[] }) | undefined;

  constructor(store: ClientStore, handlers: StoreHandlers) {
    this.#store = store;
    this.#handlers = handlers;
  }

  /** Opens it, if it is not open. Rejects with a BimipError 500, also while another client has it open. */
  async open(): Promise<void> {
    this.#opened ??= this.#load();
    await this.#opened;
  }

  /**
   * Opens it for an account. Rejects also with a BimipError 409 where it belongs to another: what one account queued
   * must not go out in the name of another.
   */
  async claim(eid: string): Promise<void> {
    this.#opened ??= this.#load();
    const { owner, index, epoch } = await this.#opened;
    if (owner === eid || eid === "") return;
    if (owner === "") return this.save({ owner: eid, index, epoch, seen: [] });
    throw new BimipError(ErrorCode.CONFLICT, `store: it belongs to ${owner}, the token to ${eid}`, { field: "store" });
  }

  /** Resolves when it would survive a crash; rejects with a BimipError 500. */
  async put(entry: StoredOutgoing): Promise<void> {
    try {
      await this.#track(this.#store.put(entry));
    } catch (cause) {
      throw storeError("cannot keep the stanza", cause);
    }
  }

  putInBackground({ key, frame }: StoredOutgoing): void {
    this.#inBackground(this.#store.put({ key, frame }));
  }

  /** In the background: what is sent again although it was confirmed does no harm. */
  remove(key: string): void {
    this.#inBackground(this.#store.remove(key));
  }

  /** In the background, one after the other; what comes while one is written is written together. */
  save(progress: StoredProgress): void {
    // Appended, not copied: a replay saves thousands of times while one write runs.
    const seen = this.#next?.seen ?? [];
    seen.push(...progress.seen);
    this.#next = { ...progress, seen };
    this.#saving ??= this.#saveAll();
  }

  /** Resolves when everything is written and the store is closed; it can be opened again. */
  close(): Promise<void> {
    const opened = this.#opened;
    if (opened === undefined) return this.#closed;
    this.#opened = undefined;
    this.#closed = opened
      .then(async () => {
        while (this.#writes.size > 0 || this.#saving !== undefined) {
          await Promise.allSettled([this.#saving, ...this.#writes]);
        }
        await this.#store.close();
      })
      .catch((error: unknown) => this.#handlers.onError(storeError("cannot be closed", error)));
    return this.#closed;
  }

  async #load(): Promise<StoredState> {
    let state: StoredState | undefined;
    try {
      await this.#closed;
      state = await this.#store.load();
      this.#handlers.onOpened(state);
      return state;
    } catch (cause) {
      this.#opened = undefined;
      if (state !== undefined) await this.#store.close();
      throw storeError("cannot be opened", cause);
    }
  }

  async #saveAll(): Promise<void> {
    for (let next = this.#next; next !== undefined; next = this.#next) {
      this.#next = undefined;
      const write = this.#store.save(next);
      this.#inBackground(write);
      await write.catch(() => undefined);
    }
    this.#saving = undefined;
  }

  #inBackground(write: Promise<void>): void {
    this.#track(write).catch((cause: unknown) => this.#handlers.onError(storeError("cannot be written", cause)));
  }

  #track(write: Promise<void>): Promise<void> {
    this.#writes.add(write);
    return write.finally(() => this.#writes.delete(write));
  }
}

function storeError(what: string, cause: unknown): BimipError {
  if (cause instanceof BimipError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new BimipError(ErrorCode.INTERNAL, `the store ${what}: ${why}`, { cause });
}
