import { BimipError, ErrorCode } from "@bimip/protocol";
import {
  type ClientStore,
  EMPTY_STATE,
  type StoredOutgoing,
  type StoredProgress,
  type StoredState,
} from "./client-store.js";

export interface StoreHandlers {
  /** At each opening, before `open` resolves. */
  readonly onOpened: (state: StoredState) => void;
  readonly onError: (error: BimipError) => void;
}

/** A store as the client uses it: opened once, written in the background, its errors told in one place. */
export class StoreSession {
  readonly #store: ClientStore;
  readonly #handlers: StoreHandlers;
  #opened: Promise<void> | undefined;
  /** What was last read or saved. */
  #known: Omit<StoredProgress, "seen"> = EMPTY_STATE;
  #claimed = new Claim();
  #closed: Promise<void> = Promise.resolve();
  readonly #writes = new Set<Promise<void>>();
  #saving: Promise<void> | undefined;
  #next: (StoredProgress & { readonly seen: string[] }) | undefined;

  constructor(store: ClientStore, handlers: StoreHandlers) {
    this.#store = store;
    this.#handlers = handlers;
  }

  /**
   * Opens it for an account; "" = one that cannot be known. Rejects with a BimipError: 500 when it cannot be opened, also
   * while another client has it open; 409 when it belongs to another account.
   */
  async claim(eid: string): Promise<void> {
    await this.#open();
    const { owner } = this.#known;
    if (owner !== "" && eid !== "" && owner !== eid) {
      const details = `store: it belongs to ${owner}, the token to ${eid}`;
      const error = new BimipError(ErrorCode.CONFLICT, details, { field: "store" });
      this.#claimed.refuse(error);
      throw error;
    }
    if (owner !== eid) this.save({ ...this.#known, owner: eid, seen: [] });
    this.#claimed.grant();
  }

  /**
   * Opens it and waits, in the order of the calls, until an account has claimed it: what is put is sent in the name of
   * whom the store belongs to. Rejects as `claim`, and with a BimipError 503 when the store is closed before.
   *
   * @param eid claims it where it is known already; "" = `claim` will come
   */
  async ready(eid: string): Promise<void> {
    // That of now: close() makes a new one.
    const { promise } = this.#claimed;
    if (eid !== "") this.claim(eid).catch(() => undefined);
    await this.#open();
    await promise;
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
    const owner = progress.owner === "" ? this.#known.owner : progress.owner;
    this.#known = { owner, index: progress.index, epoch: progress.epoch };
    this.#next = { ...this.#known, seen };
    this.#saving ??= this.#saveAll();
  }

  /** Resolves when everything is written and the store is closed; it can be opened again. */
  close(): Promise<void> {
    const opened = this.#opened;
    if (opened === undefined) return this.#closed;
    this.#opened = undefined;
    this.#claimed.refuse(new BimipError(ErrorCode.TRY_AGAIN, "the client ended before its account was known"));
    this.#claimed = new Claim();
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

  async #open(): Promise<void> {
    this.#opened ??= this.#load();
    await this.#opened;
  }

  async #load(): Promise<void> {
    let state: StoredState | undefined;
    try {
      await this.#closed;
      state = await this.#store.load();
      this.#known = { owner: state.owner, index: state.index, epoch: state.epoch };
      this.#handlers.onOpened(state);
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

/** Settled once, by the first who knows. */
class Claim {
  grant!: () => void;
  refuse!: (error: BimipError) => void;
  readonly promise = new Promise<void>((resolve, reject) => {
    this.grant = resolve;
    this.refuse = reject;
  });

  constructor() {
    // Nobody need wait for it.
    this.promise.catch(() => undefined);
  }
}

function storeError(what: string, cause: unknown): BimipError {
  if (cause instanceof BimipError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new BimipError(ErrorCode.INTERNAL, `the store ${what}: ${why}`, { cause });
}
