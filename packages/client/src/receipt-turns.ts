import { Pace } from "./pace.js";

/** Receipts a turn: after a long replay the server would refuse them all at once. */
const IN_TURN = 500;
const AFTER_REFUSAL = 10;
const TURN_MS = 100;

/** Lets so many receipts pass in each turn, fewer once the server has refused some for coming too fast. */
export class ReceiptTurns {
  readonly #onTurn: () => void;
  readonly #pace: Pace;
  #left = IN_TURN;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param onTurn there may be room again */
  constructor(onTurn: () => void) {
    this.#onTurn = onTurn;
    this.#pace = new Pace({ max: IN_TURN, maxAfterRefusal: AFTER_REFUSAL, onGo: () => this.#next() });
  }

  get open(): boolean {
    return this.#left > 0;
  }

  /** One passes. */
  take(): void {
    this.#left--;
    this.#timer ??= setTimeout(() => this.#next(), TURN_MS);
  }

  /** A 429. @param waitMs as the server said; 0 = it did not */
  refused(waitMs: number): void {
    this.#pace.refused(waitMs);
    this.#left = 0;
  }

  /** All pass, until `reset`. */
  lift(): void {
    this.#left = Number.POSITIVE_INFINITY;
  }

  /** For another connection. */
  reset(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#pace.interrupt();
    this.#left = this.#pace.limit;
  }

  #next(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#left = this.#pace.limit;
    this.#onTurn();
  }
}
