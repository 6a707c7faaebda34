/** How far a receipt says that its device got. */
export interface ReceiptMark {
  /** monotonic_id; 0 = it names none. */
  readonly index: number;
  readonly read: boolean;
}

interface Place {
  readonly mark: ReceiptMark;
  concluded: boolean;
  moves: boolean;
}

/**
 * Receipts of one session, in their order. The cursor moves past a receipt only once that and all before it are stored, or
 * need not be: what lies below the cursor is not replayed, so a receipt lost with its gateway could never be given again.
 */
export class ReceiptLine {
  /** Resolves, never rejects, once all receipts so far are on their way to the logs: the next may follow. */
  tail: Promise<void> = Promise.resolve();
  readonly #places: Place[] = [];
  readonly #onPassed: (mark: ReceiptMark) => void;

  /** @param onPassed called for each mark, in order, when the cursor may move there */
  constructor(onPassed: (mark: ReceiptMark) => void) {
    this.#onPassed = onPassed;
  }

  /** How many the cursor may not pass yet. */
  get waiting(): number {
    return this.#places.length;
  }

  /** Takes a place. To be called once with how it ended: whether the cursor may move past it. */
  begin(mark: ReceiptMark): (moves: boolean) => void {
    const place: Place = { mark, concluded: false, moves: false };
    this.#places.push(place);
    return (moves) => {
      place.concluded = true;
      place.moves = moves;
      this.#pass();
    };
  }

  #pass(): void {
    for (let first = this.#places[0]; first?.concluded === true; first = this.#places[0]) {
      this.#places.shift();
      if (first.moves && first.mark.index > 0) this.#onPassed(first.mark);
    }
  }
}
