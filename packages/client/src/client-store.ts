/** A stanza that must reach the server, as a store keeps it. */
export interface StoredOutgoing {
  /** Unique among what is kept. */
  readonly key: string;
  /** The encoded stanza. */
  readonly frame: Uint8Array;
}

/** How far the application has come. */
export interface StoredProgress {
  /** The account that the store belongs to; "" = not known. */
  readonly owner: string;
  /** The application has taken everything up to this index of its log. */
  readonly index: number;
  /** The log that the index belongs to, as RESUME tells it; 0 = not known. */
  readonly epoch: number;
  /** Names of log entries, oldest first: what comes a second time is dropped. */
  readonly seen: readonly string[];
}

/** What a store held when it was opened: `outgoing` in the order it was put, `seen` the last SEEN_ENTRIES. */
export interface StoredState extends StoredProgress {
  readonly outgoing: readonly StoredOutgoing[];
}

/** So many names of log entries are remembered. */
export const SEEN_ENTRIES = 10_000;

/**
 * Where a client keeps what must survive its process: unconfirmed stanzas, and how far its application has come.
 * Belongs to one account and one device. Each method rejects with an Error that says what failed.
 */
export interface ClientStore {
  /** Opens it and reads it; called before everything else, and again after `close`. Rejects while another has it open. */
  load(): Promise<StoredState>;
  /** Resolves when the entry would survive a crash; several resolve in the order they were put. */
  put(entry: StoredOutgoing): Promise<void>;
  remove(key: string): Promise<void>;
  /** Replaces the progress, but `seen` is added to what is there. May be lost in a power cut, not in a crash. */
  save(progress: StoredProgress): Promise<void>;
  close(): Promise<void>;
}

/** What a store holds when nothing was put. */
export const EMPTY_STATE: StoredState = { owner: "", index: 0, epoch: 0, seen: [], outgoing: [] };
