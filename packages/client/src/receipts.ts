import { type BimipError, ErrorCode, SignalStatus } from "@bimip/protocol";
import { type BackoffOptions, backoffMs } from "./backoff.js";
import type { StoredOutgoing } from "./client-store.js";
import { receiptFrame } from "./receipt-signal.js";
import { ReceiptTurns } from "./receipt-turns.js";
import { retryAfterMs } from "./retry-after.js";
import type { StoreSession } from "./store-session.js";
import type { StoredReceipt } from "./stored-outgoing.js";

/** A receipt about one message of another. */
export interface Receipt {
  /** DELIVERED, READ, PLAYED or FORWARDED. */
  readonly status: number;
  /** Of the message. */
  readonly id: string;
  /** Who sent it. */
  readonly to: string;
  /** Of the message in the own log. */
  readonly index: number;
}

interface Given extends StoredOutgoing {
  readonly id: string;
  readonly index: number;
  /** performance.now() when it was sent last; 0 = not yet. */
  sentMs: number;
  /** It was refused, or may have been: it will be sent once more. */
  again: boolean;
  stored: boolean;
}

/** What receipts are sent on. */
export interface ReceiptConnection {
  send(frame: Uint8Array): void;
  /** performance.now() of the last frame that came on it. */
  readonly heardMs: number;
}

const CURSOR_DELAY_MS = 200;
const CURSOR_ENTRIES = 100;
/**
 * The server does not confirm receipts: one that was sent so long before the last frame came is taken as stored, a younger
 * one is given again.
 */
const UNSURE_MS = 30_000;
const UNSURE_ENTRIES = 10_000;
/** Of the waits of `backoffMs`, the one before a receipt is given again that the server could not take. */
const RETRY_ATTEMPT = 3;

/**
 * The receipts that this device gives. They wait for a connection, in the store where there is one, and are given
 * again after a reconnect as long as they may have been lost; the server tells each once.
 */
export class Receipts {
  readonly #store: StoreSession | undefined;
  readonly #backoff: BackoffOptions;
  #connection: ReceiptConnection | undefined;
  /** Those that were sent on this connection, then those that wait. */
  #given: Given[] = [];
  #sent = 0;
  readonly #turns = new ReceiptTurns(() => this.#pump());
  /** Sent before, and to be sent again in their turn. */
  #due: Given[] = [];
  #cursor = 0;
  #cursorEntries = 0;
  /** What the server was told on this connection. */
  #acknowledged = 0;
  #cursorTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #retries = new Set<ReturnType<typeof setTimeout>>();
  /** Ids of messages under way for whose answer receipts wait. */
  readonly #withheld = new Set<string>();
  #isClosing = false;
  /** What was sent on the connection that is closing. */
  readonly #lastWords = new Set<Given>();

  constructor(store: StoreSession | undefined, backoff: BackoffOptions) {
    this.#store = store;
    this.#backoff = backoff;
  }

  /** What waited in the store. */
  restore(entries: readonly StoredReceipt[]): void {
    // After close() and connect() they are still here.
    const known = new Set(this.#given.map(({ key }) => key));
    const given = entries
      .filter(({ key }) => !known.has(key))
      .map(({ key, frame, signal: { id, monotonicId } }) => {
        return { key, frame, id, index: Number(monotonicId), sentMs: 0, again: false, stored: true };
      });
    this.#given = [...given, ...this.#given];
  }

  /** The server listens, and its log is the one that the receipts speak of. */
  open(connection: ReceiptConnection): void {
    if (this.#connection !== undefined) return;
    this.#connection = connection;
    this.#isClosing = false;
    this.#acknowledged = 0;
    this.#pump();
    this.#sendCursor();
  }

  /** The connection is gone: what it may have lost waits for the next. */
  interrupt(): void {
    this.#dropOld();
    this.#connection = undefined;
    this.#stopTimers();
    if (this.#isClosing) for (const given of this.#sentNow()) if (!given.again) this.#lastWords.add(given);
    this.#sent = 0;
    for (const given of this.#given) given.again = false;
    if (!this.#isClosing) this.#keepAll();
  }

  /** The log was another one: what was to be told of it is void. */
  forget(): void {
    for (const given of this.#given) this.#discard(given);
    this.#given = [];
    this.#sent = 0;
    this.#cursor = 0;
    this.#cursorEntries = 0;
    this.#stopTimers();
  }

  give({ status, id, to, index }: Receipt): void {
    const frame = receiptFrame({ id, to: { eid: to }, status, monotonicId: BigInt(index) });
    const key = ["receipt", status, id, to, index].join("\0");
    const given = { key, frame, id, index, sentMs: 0, again: false, stored: false };
    this.#dropOld();
    this.#given.push(given);
    // DELIVERED that can be sent is not worth a write each; the others are a person's.
    if (this.#connection === undefined || status !== SignalStatus.DELIVERED) this.#keep(given);
    this.#pump();
  }

  /** Everything up to `index` is taken: told to the server by itself, gathered, where no receipt says it. */
  cursor(index: number): void {
    if (index <= this.#cursor) return;
    this.#cursor = index;
    if (++this.#cursorEntries >= CURSOR_ENTRIES) this.#sendCursor();
    else this.#cursorTimer ??= setTimeout(() => this.#sendCursor(), CURSOR_DELAY_MS);
  }

  /** The server asks to try a receipt again. true if it was one of ours. */
  postpone(error: BimipError): boolean {
    const again = this.#about(error.id);
    if (again.length === 0) return false;
    for (const given of again) given.again = true;
    const waitMs = retryAfterMs(error);
    if (error.code === ErrorCode.TOO_FAST) this.#turns.refused(waitMs);
    const timer = setTimeout(
      () => {
        this.#retries.delete(timer);
        if (!this.#withheld.has(error.id ?? "")) this.#sendAgain(again);
      },
      Math.max(waitMs, backoffMs(RETRY_ATTEMPT, this.#backoff)),
    );
    this.#retries.add(timer);
    return true;
  }

  /** A Signal without an id came too fast. It may have been the cursor's; of several such the server tells one only. */
  repeatCursor(waitMs: number): void {
    this.#turns.refused(waitMs);
    this.#acknowledged = 0;
    clearTimeout(this.#cursorTimer);
    this.#cursorTimer = setTimeout(() => this.#sendCursor(), Math.max(waitMs, CURSOR_DELAY_MS));
  }

  /**
   * An error names the id of a message under way. true if it may mean a receipt about another's message of that id:
   * those go once more, after `release`.
   */
  withhold(id: string): boolean {
    const unsureMs = performance.now() - UNSURE_MS;
    const unsure = this.#about(id).filter(({ sentMs }) => sentMs >= unsureMs);
    if (unsure.length === 0) return false;
    for (const given of unsure) given.again = true;
    this.#withheld.add(id);
    return true;
  }

  /** The message of that id was answered. */
  release(id: string): void {
    if (this.#withheld.delete(id)) this.#sendAgain(this.#about(id));
  }

  /** The last words on a connection that is about to close; `closed` follows. */
  close(): void {
    this.#isClosing = true;
    // All at once the server would not take them; with a store they wait for the next start.
    if (this.#store === undefined) this.#turns.lift();
    this.#pump();
    this.#sendCursor();
    this.#stopTimers();
  }

  /** @param answered the server answered the close, so it has taken everything that was sent before */
  closed(answered: boolean): void {
    this.#isClosing = false;
    if (answered) {
      const isLeft = (given: Given): boolean => !this.#lastWords.has(given);
      const sentLeft = this.#sentNow().filter(isLeft).length;
      this.#given = this.#given.filter(isLeft);
      this.#sent = sentLeft;
      for (const given of this.#lastWords) this.#discard(given);
    }
    this.#lastWords.clear();
    this.#keepAll();
  }

  /** Those that were sent on this connection. */
  #sentNow(): Given[] {
    return this.#given.slice(0, this.#sent);
  }

  #about(id: string | undefined): Given[] {
    return this.#sentNow().filter((given) => given.id === id);
  }

  #sendAgain(receipts: readonly Given[]): void {
    for (const given of receipts) if (given.again) this.#due.push(given);
    this.#pump();
  }

  #pump(): void {
    while (this.#connection !== undefined && this.#turns.open) {
      const again = this.#due.shift();
      // Refused twice, it was sent for the first refusal already.
      if (again?.again === false) continue;
      const next = again ?? this.#given[this.#sent];
      if (next === undefined) return;
      if (again === undefined) this.#sent++;
      this.#turns.take();
      this.#transmit(next);
    }
  }

  #transmit(given: Given): void {
    if (this.#connection === undefined) return;
    given.sentMs = performance.now();
    given.again = false;
    this.#connection.send(given.frame);
    // It says all that a waiting cursor up to it would.
    this.#acknowledged = Math.max(this.#acknowledged, given.index);
    if (this.#cursor <= this.#acknowledged) this.#cursorEntries = 0;
  }

  #sendCursor(): void {
    clearTimeout(this.#cursorTimer);
    this.#cursorTimer = undefined;
    if (this.#connection === undefined || this.#cursor <= this.#acknowledged) return;
    // What lies below the cursor would not come again, were it lost with its receipts.
    if (this.#sent < this.#given.length || this.#due.length + this.#retries.size > 0) {
      this.#cursorTimer = setTimeout(() => this.#sendCursor(), CURSOR_DELAY_MS);
      return;
    }
    this.#acknowledged = this.#cursor;
    this.#cursorEntries = 0;
    this.#connection.send(receiptFrame({ status: SignalStatus.DELIVERED, monotonicId: BigInt(this.#cursor) }));
  }

  #keep(given: Given): void {
    if (given.stored || this.#store === undefined) return;
    given.stored = true;
    this.#store.putInBackground(given);
  }

  #keepAll(): void {
    for (const given of this.#given) this.#keep(given);
  }

  #discard(given: Given): void {
    if (given.stored) this.#store?.remove(given.key);
  }

  /** Forgets what is surely stored, and the oldest of what is too much; never what waits. */
  #dropOld(): void {
    const sureMs = (this.#connection?.heardMs ?? 0) - UNSURE_MS;
    let count = 0;
    for (const { sentMs, again } of this.#given) {
      const tooMany = this.#sent - count > UNSURE_ENTRIES;
      if (count === this.#sent || (!tooMany && (again || sentMs >= sureMs))) break;
      count++;
    }
    if (count === 0) return;
    for (const given of this.#given.splice(0, count)) this.#discard(given);
    this.#sent -= count;
  }

  #stopTimers(): void {
    for (const timer of [this.#cursorTimer, ...this.#retries]) clearTimeout(timer);
    this.#turns.reset();
    this.#retries.clear();
    this.#withheld.clear();
    this.#due = [];
    this.#cursorTimer = undefined;
  }
}
