import type { BimipError } from "@bimip/protocol";
import { type BackoffOptions, backoffMs } from "./backoff.js";

/** What the server said about a stored message. */
export interface Sent {
  readonly id: string;
  /** The recipient's EID. */
  readonly to: string;
  /** Index in the recipient's log. */
  readonly index: number;
  /** Index of the copy in the own log; 0 when none is kept. */
  readonly logIndex: number;
}

interface Entry {
  /** Place in the order of `send` calls. */
  readonly order: number;
  readonly id: string;
  readonly eid: string;
  readonly frame: Uint8Array;
  readonly promise: Promise<Sent>;
  readonly resolve: (sent: Sent) => void;
  readonly reject: (error: BimipError) => void;
}

/** A recipient whose messages wait because the server asked to try again. */
interface Hold {
  attempt: number;
  /** false while the recipient's messages flow again, but none was confirmed yet. */
  holding: boolean;
  readonly waiting: Entry[];
  timer: ReturnType<typeof setTimeout> | undefined;
}

export interface OutboxOptions {
  /** Messages that may be under way at once. */
  readonly maxInFlight: number;
  readonly backoff: BackoffOptions;
}

/**
 * The messages without their SENT, in the order they were given. To one recipient that order is kept over
 * reconnects and over answers that ask to try again: after one of those the recipient's later messages wait until
 * everything under way to them was answered, then all go again from the first.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #inFlight = new Map<string, Entry>();
  readonly #known = new Map<string, Entry>();
  readonly #holds = new Map<string, Hold>();
  #queue: Entry[] = [];
  /** Where the queue begins; what lies before was taken. */
  #queueHead = 0;
  #order = 0;
  #transmit: ((frame: Uint8Array) => void) | undefined;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Messages that were not answered yet. */
  get size(): number {
    return this.#known.size;
  }

  /** Takes a message; the same id to the same recipient while it is under way is the same message. */
  add(id: string, eid: string, frame: Uint8Array): Promise<Sent> {
    const key = keyOf(id, eid);
    const known = this.#known.get(key);
    if (known !== undefined) return known.promise;
    let resolve!: (sent: Sent) => void;
    let reject!: (error: BimipError) => void;
    const promise = new Promise<Sent>((onSent, onError) => {
      resolve = onSent;
      reject = onError;
    });
    const entry = { order: this.#order++, id, eid, frame, promise, resolve, reject };
    this.#known.set(key, entry);
    this.#queue.push(entry);
    this.#pump();
    return promise;
  }

  /** The server listens: everything unanswered goes, again or for the first time. */
  open(transmit: (frame: Uint8Array) => void): void {
    this.#transmit = transmit;
    this.#pump();
  }

  /** The connection is gone: what was under way waits in its old place. */
  interrupt(): void {
    this.#transmit = undefined;
    this.#inFlight.clear();
    for (const hold of this.#holds.values()) clearTimeout(hold.timer);
    this.#holds.clear();
    this.#queue = [...this.#known.values()];
    this.#queueHead = 0;
  }

  /** SENT. true if it was waited for. */
  confirm(sent: Sent): boolean {
    const entry = this.#known.get(keyOf(sent.id, sent.to));
    if (entry === undefined) return false;
    if (this.#holds.get(entry.eid)?.holding === false) this.#holds.delete(entry.eid);
    this.#settle(entry);
    entry.resolve(sent);
    return true;
  }

  /** An error that names a stanza. true if it was a message of ours that is rejected with it. */
  refuse(error: BimipError): boolean {
    const entry = this.#underWay(error.id ?? "");
    if (entry === undefined) return false;
    this.#settle(entry);
    entry.reject(error);
    return true;
  }

  /** The server could not store it now. true if it was a message of ours, which will be sent again. */
  postpone(id: string): boolean {
    const entry = this.#underWay(id);
    if (entry === undefined) return false;
    this.#inFlight.delete(keyOf(entry.id, entry.eid));
    let hold = this.#holds.get(entry.eid);
    if (hold === undefined) {
      hold = { attempt: 0, holding: false, waiting: [], timer: undefined };
      this.#holds.set(entry.eid, hold);
    }
    if (!hold.holding) {
      hold.holding = true;
      hold.attempt++;
    }
    hold.waiting.push(entry);
    this.#releaseWhenAnswered(entry.eid);
    this.#pump();
    return true;
  }

  /** Nothing will be sent any more: everything unanswered fails. */
  abandon(error: BimipError): void {
    const entries = [...this.#known.values()];
    this.#known.clear();
    this.interrupt();
    for (const entry of entries) entry.reject(error);
  }

  #pump(): void {
    const transmit = this.#transmit;
    if (transmit === undefined) return;
    while (this.#inFlight.size < this.#options.maxInFlight) {
      const entry = this.#queue[this.#queueHead];
      // An error names no recipient: one id to a second one waits for the answer about the first.
      if (entry === undefined || this.#underWay(entry.id) !== undefined) break;
      this.#queueHead++;
      const hold = this.#holds.get(entry.eid);
      if (hold?.holding === true) {
        hold.waiting.push(entry);
        continue;
      }
      this.#inFlight.set(keyOf(entry.id, entry.eid), entry);
      transmit(entry.frame);
    }
    if (this.#queueHead === this.#queue.length) {
      this.#queue = [];
      this.#queueHead = 0;
    }
  }

  #settle(entry: Entry): void {
    const key = keyOf(entry.id, entry.eid);
    this.#known.delete(key);
    if (!this.#inFlight.delete(key)) this.#forget(entry);
    this.#releaseWhenAnswered(entry.eid);
    this.#pump();
  }

  /** An answer came for what we were about to send again. */
  #forget(entry: Entry): void {
    const waiting = this.#holds.get(entry.eid)?.waiting;
    const held = waiting?.indexOf(entry) ?? -1;
    if (held >= 0) waiting?.splice(held, 1);
    this.#queue = this.#queue.slice(this.#queueHead).filter((queued) => queued !== entry);
    this.#queueHead = 0;
  }

  #releaseWhenAnswered(eid: string): void {
    const hold = this.#holds.get(eid);
    if (hold === undefined || !hold.holding || hold.timer !== undefined) return;
    for (const entry of this.#inFlight.values()) if (entry.eid === eid) return;
    hold.timer = setTimeout(() => this.#release(hold), backoffMs(hold.attempt, this.#options.backoff));
  }

  #release(hold: Hold): void {
    hold.timer = undefined;
    hold.holding = false;
    const again = hold.waiting.splice(0).sort((a, b) => a.order - b.order);
    this.#queue = [...again, ...this.#queue.slice(this.#queueHead)];
    this.#queueHead = 0;
    this.#pump();
  }

  /** The message an error speaks of: of one id, never more than one is under way. */
  #underWay(id: string): Entry | undefined {
    if (id === "") return undefined;
    for (const entry of this.#inFlight.values()) if (entry.id === id) return entry;
    return undefined;
  }
}

function keyOf(id: string, eid: string): string {
  return `${id}\0${eid}`;
}
