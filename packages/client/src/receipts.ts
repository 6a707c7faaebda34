import { type BimipError, encodeStanza, type Signal, SignalSchema, SignalStatus, SignalType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { type BackoffOptions, backoffMs } from "./backoff.js";
import type { StoredOutgoing } from "./client-store.js";
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
  sentMs: number;
  stored: boolean;
}

const CURSOR_DELAY_MS = 200;
const CURSOR_ENTRIES = 100;
/** The server does not confirm receipts: one it had so long is taken as stored, a younger one is given again. */
const UNSURE_MS = 30_000;
const UNSURE_ENTRIES = 10_000;
/** Receipts a turn: after a long replay the server would refuse them all at once. */
const TURN_RECEIPTS = 500;
const TURN_MS = 100;
/** Of the waits of `backoffMs`, the one before a receipt is given again that the server could not take. */
const RETRY_ATTEMPT = 3;

/**
 * The receipts that this device gives. They wait for a connection, in the store where there is one, and are given
 * again after a reconnect as long as they may have been lost; the server tells each once.
 */
export class Receipts {
  readonly #store: StoreSession | undefined;
  readonly #backoff: BackoffOptions;
  #send: ((frame: Uint8Array) => void) | undefined;
  /** Those that were sent on this connection, then those that wait. */
  #given: Given[] = [];
  #sent = 0;
  #turn: ReturnType<typeof setTimeout> | undefined;
  #leftInTurn = TURN_RECEIPTS;
  #cursor = 0;
  #cursorEntries = 0;
  /** What the server was told on this connection. */
  #acknowledged = 0;
  #cursorTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #retries = new Set<ReturnType<typeof setTimeout>>();

  constructor(store: StoreSession | undefined, backoff: BackoffOptions) {
    this.#store = store;
    this.#backoff = backoff;
  }

  /** What waited in the store. */
  restore(entries: readonly StoredReceipt[]): void {
    const given = entries.map(({ key, frame, signal }) => {
      return { key, frame, id: signal.id, index: Number(signal.monotonicId), sentMs: 0, stored: true };
    });
    this.#given = [...given, ...this.#given];
  }

  /** The server listens, and its log is the one that the receipts speak of. */
  open(send: (frame: Uint8Array) => void): void {
    if (this.#send !== undefined) return;
    this.#send = send;
    this.#acknowledged = 0;
    this.#pump();
    this.#sendCursor();
  }

  /** The connection is gone: what it may have lost waits for the next. */
  interrupt(): void {
    this.#send = undefined;
    this.#stopTimers();
    this.#dropOld();
    this.#sent = 0;
    for (const given of this.#given) this.#keep(given);
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
    const frame = signalFrame({ id, to: { eid: to }, status, monotonicId: BigInt(index) });
    const key = ["receipt", status, id, to, index].join("\0");
    const given = { key, frame, id, index, sentMs: 0, stored: false };
    this.#dropOld();
    this.#given.push(given);
    // DELIVERED that can be sent is not worth a write each; the others are a person's.
    if (this.#send === undefined || status !== SignalStatus.DELIVERED) this.#keep(given);
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
    const again = this.#given.slice(0, this.#sent).filter(({ id }) => id === error.id);
    if (again.length === 0) return false;
    const timer = setTimeout(
      () => {
        this.#retries.delete(timer);
        for (const given of again) this.#transmit(given);
      },
      backoffMs(RETRY_ATTEMPT, this.#backoff),
    );
    this.#retries.add(timer);
    return true;
  }

  /** The last words on a connection that is about to close. */
  close(): void {
    this.#leftInTurn = Number.POSITIVE_INFINITY;
    this.#pump();
    this.#sendCursor();
    this.#stopTimers();
  }

  #pump(): void {
    for (; this.#send !== undefined && this.#leftInTurn > 0; this.#leftInTurn--) {
      const next = this.#given[this.#sent];
      if (next === undefined) return;
      this.#sent++;
      this.#turn ??= setTimeout(() => this.#nextTurn(), TURN_MS);
      this.#transmit(next);
    }
  }

  #nextTurn(): void {
    this.#turn = undefined;
    this.#leftInTurn = TURN_RECEIPTS;
    this.#pump();
  }

  #transmit(given: Given): void {
    if (this.#send === undefined) return;
    given.sentMs = performance.now();
    this.#send(given.frame);
    // It says all that a waiting cursor up to it would.
    this.#acknowledged = Math.max(this.#acknowledged, given.index);
    if (this.#cursor <= this.#acknowledged) this.#cursorEntries = 0;
  }

  #sendCursor(): void {
    clearTimeout(this.#cursorTimer);
    this.#cursorTimer = undefined;
    if (this.#send === undefined || this.#cursor <= this.#acknowledged) return;
    // What lies below the cursor would not come again, were it lost with its receipts.
    if (this.#sent < this.#given.length) {
      this.#cursorTimer = setTimeout(() => this.#sendCursor(), CURSOR_DELAY_MS);
      return;
    }
    this.#acknowledged = this.#cursor;
    this.#cursorEntries = 0;
    this.#send(signalFrame({ status: SignalStatus.DELIVERED, monotonicId: BigInt(this.#cursor) }));
  }

  #keep(given: Given): void {
    if (given.stored || this.#store === undefined) return;
    given.stored = true;
    this.#store.putInBackground(given);
  }

  #discard(given: Given): void {
    if (given.stored) this.#store?.remove(given.key);
  }

  /** Forgets what was sent long ago, and the oldest of what is too much; never what waits. */
  #dropOld(): void {
    const sureMs = performance.now() - UNSURE_MS;
    let count = 0;
    while (count < this.#sent) {
      const tooMany = this.#given.length - count > UNSURE_ENTRIES;
      if (!tooMany && (this.#given[count]?.sentMs ?? 0) >= sureMs) break;
      count++;
    }
    if (count === 0) return;
    for (const given of this.#given.splice(0, count)) this.#discard(given);
    this.#sent -= count;
  }

  #stopTimers(): void {
    for (const timer of [this.#cursorTimer, this.#turn, ...this.#retries]) clearTimeout(timer);
    this.#retries.clear();
    this.#cursorTimer = undefined;
    this.#turn = undefined;
    this.#leftInTurn = TURN_RECEIPTS;
  }
}

function signalFrame(
  init: Partial<Pick<Signal, "id" | "status" | "monotonicId">> & { to?: { eid: string } },
): Uint8Array {
  const timestamp = BigInt(Date.now());
  return encodeStanza("signal", create(SignalSchema, { type: SignalType.REQUEST, timestamp, ...init }));
}
