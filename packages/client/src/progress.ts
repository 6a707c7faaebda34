interface Open {
  readonly index: number;
  readonly onRelease: () => void;
  taken: boolean;
}

interface Waiting {
  readonly index: number;
  readonly action: () => void;
}

/** Cut off what was released after so many. */
const CUT_AT = 1_024;

/**
 * Which log entries the application has taken. An acknowledgement covers everything below it, so entries are released
 * in log order only, in whatever order they were taken.
 */
export class Progress {
  #open: Open[] = [];
  /** Where the open ones begin. */
  #head = 0;
  #waiting: Waiting[] = [];
  /** Of the end: actions up to this index may still run. */
  #endedAt: number | undefined;

  /**
   * An entry is handed over; indexes come in order. The answer is to be called when the application has taken it;
   * `onRelease` is called when it has taken everything before it as well.
   */
  begin(index: number, onRelease: () => void): () => void {
    const open = { index, onRelease, taken: false };
    this.#open.push(open);
    return () => {
      if (open.taken || this.#endedAt !== undefined) return;
      open.taken = true;
      this.#release();
    };
  }

  /** Calls `action` when nothing up to `index` is open any more. */
  behind(index: number, action: () => void): void {
    if (this.#endedAt !== undefined && index > this.#endedAt) return;
    if (this.#isOpen(index)) this.#waiting.push({ index, action });
    else action();
  }

  /** Nothing is released any more, and no action behind an index above `upTo` runs. */
  end(upTo = -1): void {
    this.#endedAt = upTo;
    this.#open = [];
    this.#waiting = [];
  }

  #isOpen(index: number): boolean {
    const first = this.#open[this.#head];
    return first !== undefined && first.index <= index;
  }

  #release(): void {
    for (let next = this.#open[this.#head]; next?.taken === true; next = this.#open[this.#head]) {
      this.#head++;
      next.onRelease();
    }
    if (this.#head === this.#open.length || this.#head >= CUT_AT) {
      this.#open = this.#open.slice(this.#head);
      this.#head = 0;
    }
    if (this.#waiting.length === 0) return;
    const ready = this.#waiting.filter(({ index }) => !this.#isOpen(index));
    this.#waiting = this.#waiting.filter(({ index }) => this.#isOpen(index));
    for (const { action } of ready.sort((a, b) => a.index - b.index)) action();
  }
}
