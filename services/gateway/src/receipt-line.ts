/** How far a receipt says that its device got. */
export interface ReceiptMark {
  /** monotonic_id; 0 = it names none. */
  readonly index: number;
  readonly read: boolean;
}

interface Entry {
  readonly mark: ReceiptMark;
  concluded: boolean;
  moves: boolean;
}

/** What could not be stored is waited for so long; a client that does not give it again is let through. */
const AGAIN_WITHIN_MS = 15_000;

/**
 * Receipts of one session, in their order. The cursor moves past a receipt only once that and all before it are stored, or
 * need not be: what lies below the cursor is not replayed, so a receipt lost with its gateway could never be given again.
 */
export class ReceiptLine {
  /** Resolves, never rejects, once all receipts so far are on their way to the logs: the next may follow. */
  tail: Promise<void> = Promise.resolve();
  readonly #entries: Entry[] = [];
  /** Those that could not be stored, by name, until they come again. */
  readonly #failed = new Map<string, Entry>();
  readonly #onPassed: (mark: ReceiptMark) => void;
  #underWay = 0;
  #onDrained: (() => void) | undefined;
  #ended = false;

  /** @param onPassed called for each mark, in order, when the cursor may move there */
  constructor(onPassed: (mark: ReceiptMark) => void) {
    this.#onPassed = onPassed;
  }

  /** How many the cursor may not pass yet. */
  get waiting(): number {
    return this.#entries.length;
  }

  /**
   * Takes its place. To be called once with how it ended: true = stored, or need not be; false = the client was asked to give
   * it again, by the same `name`.
   */
  begin(mark: ReceiptMark, name: string): (isDone: boolean) => void {
    const entry: Entry = { mark, concluded: false, moves: false };
    this.#entries.push(entry);
    this.#underWay++;
    return (isDone) => {
      this.#underWay--;
      const before = this.#failed.get(name);
      if (isDone) {
        this.#conclude(entry, true);
        if (before !== undefined) this.#forget(name, before, true);
      } else if (before !== undefined) {
        this.#conclude(entry, false); // the first of them is still waited for
      } else {
        this.#failed.set(name, entry);
        setTimeout(() => {
          if (!this.#ended) this.#forget(name, entry, false);
        }, AGAIN_WITHIN_MS).unref();
      }
      this.#pass();
      if (this.#underWay === 0) this.#onDrained?.();
    };
  }

  /** Resolves once none is under way any more; those that failed are not waited for. undefined: none is. */
  drained(): Promise<void> | undefined {
    if (this.#underWay === 0) return undefined;
    return new Promise((resolve) => {
      this.#onDrained = resolve;
    });
  }

  /** The session is over: what was to be given again was not, so the cursor stays before it and the entry is replayed. */
  end(): void {
    this.#ended = true;
  }

  #conclude(entry: Entry, moves: boolean): void {
    entry.concluded = true;
    entry.moves = moves;
  }

  #forget(name: string, entry: Entry, moves: boolean): void {
    if (this.#failed.get(name) !== entry) return;
    this.#failed.delete(name);
    this.#conclude(entry, moves);
    this.#pass();
  }

  #pass(): void {
    for (let first = this.#entries[0]; first?.concluded === true; first = this.#entries[0]) {
      this.#entries.shift();
      if (first.moves && first.mark.index > 0) this.#onPassed(first.mark);
    }
  }
}
