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
/** The server never confirms a receipt: what it had so long is taken as arrived, what is younger when the connection breaks is sent again. */
const UNSURE_MS = 30_000;
const UNSURE_ENTRIES = 10_000;

/**
 * The receipts that this device gives. They wait for a connection, in the store where there is one, and are given
 * again after a reconnect as long as they may have been lost; the server tells each once.
 */
export class Receipts {
  readonly #store: StoreSession | undefined;
  readonly #backoff: BackoffOptions;
  #send: ((frame: Uint8Array) => void) | undefined;
  /** Oldest first; those that were sent, then those that wait. */
  #given: Given[] = [];
  #cursor = 0;
  #cursorEntries = 0;
  #acknowledged = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
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
    for (const given of this.#given) this.#transmit(given);
    this.#sendCursor();
  }

  /** The connection is gone: what it may have lost waits for the next. */
  interrupt(): void {
    this.#send = undefined;
    this.#stopTimers();
    this.#dropOld();
    for (const given of this.#given) this.#keep(given);
  }

  /** The log was another one: what was to be told of it is void. */
  forget(): void {
    for (const given of this.#given) this.#discard(given);
    this.#given = [];
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
    // DELIVERED that was sent is not worth a write each; the other ones are a person's.
    if (this.#send === undefined || status !== SignalStatus.DELIVERED) this.#keep(given);
    this.#transmit(given);
  }

  /** Everything up to `index` is taken, and there is nobody to tell: told to the server alone, gathered. */
  cursor(index: number): void {
    if (index <= this.#cursor) return;
    this.#cursor = index;
    if (++this.#cursorEntries >= CURSOR_ENTRIES) return this.#sendCursor();
    this.#timer ??= setTimeout(() => this.#sendCursor(), CURSOR_DELAY_MS);
  }

  /** The server asks to try a receipt again. true if it was one of ours. */
  postpone(error: BimipError): boolean {
    const again = this.#given.filter(({ id, sentMs }) => id === error.id && sentMs > 0);
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
    this.#sendCursor();
    this.#stopTimers();
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
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#send === undefined || this.#cursor <= this.#acknowledged) return;
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

  #dropOld(): void {
    const sureMs = performance.now() - UNSURE_MS;
    const old = (given: Given | undefined): boolean => given !== undefined && given.sentMs > 0 && given.sentMs < sureMs;
    let count = 0;
    while (old(this.#given[count])) count++;
    // Only sent ones: those that wait are never dropped.
    while (this.#given.length - count > UNSURE_ENTRIES && (this.#given[count]?.sentMs ?? 0) > 0) count++;
    if (count === 0) return;
    for (const given of this.#given.splice(0, count)) this.#discard(given);
  }

  #stopTimers(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const retry of this.#retries) clearTimeout(retry);
    this.#retries.clear();
  }
}

const RETRY_ATTEMPT = 3;

function signalFrame(
  init: Partial<Pick<Signal, "id" | "status" | "monotonicId">> & { to?: { eid: string } },
): Uint8Array {
  const timestamp = BigInt(Date.now());
  return encodeStanza("signal", create(SignalSchema, { type: SignalType.REQUEST, timestamp, ...init }));
}
