import { BimipError, ErrorCode } from "@bimip/protocol";
import { type BackoffOptions, backoffMs } from "./backoff.js";
import { createEntry, type OutboxEntry, type OutboxItem, type Sent } from "./outbox-entry.js";
import type { OutgoingStates } from "./outgoing-states.js";
import { Pace } from "./pace.js";
import type { StoreSession } from "./store-session.js";

/** Bytes of messages that are sent before their answers come; a gateway takes 4 MiB of one session by default, and then answers 429. */
const MAX_BYTES_IN_FLIGHT = 2 * 1_024 * 1_024;
/** Messages under way to a server that has said 429: as many are refused at once when it has to say it again. */
const MAX_AFTER_REFUSAL = 4;

/** A recipient whose messages wait because the server asked to try again. */
interface Hold {
  attempt: number;
  /** As the server said, milliseconds. */
  waitMs: number;
  /** false while the recipient's messages flow again, but none was confirmed yet. */
  holding: boolean;
  readonly waiting: OutboxEntry[];
  timer: ReturnType<typeof setTimeout> | undefined;
}

export interface OutboxOptions {
  /** Messages that may be under way at once. */
  readonly maxInFlight: number;
  readonly backoff: BackoffOptions;
  readonly states: OutgoingStates;
  /** Where entries survive the process. */
  readonly store: StoreSession | undefined;
}

/**
 * The messages without their SENT, in the order they were given. To one recipient that order is kept over
 * reconnects and over answers that ask to try again: after one of those the recipient's later messages wait until
 * everything under way to them was answered, then all go again from the first.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #pace: Pace;
  readonly #inFlight = new Map<string, OutboxEntry>();
  #bytesInFlight = 0;
  readonly #known = new Map<string, OutboxEntry>();
  readonly #holds = new Map<string, Hold>();
  #queue: OutboxEntry[] = [];
  /** Where the queue begins; what lies before was taken. */
  #queueHead = 0;
  #order = 0;
  #transmit: ((frame: Uint8Array) => void) | undefined;

  constructor(options: OutboxOptions) {
    this.#options = options;
    const { maxInFlight: max } = options;
    this.#pace = new Pace({ max, maxAfterRefusal: MAX_AFTER_REFUSAL, onGo: () => this.#pump() });
  }

  /** Messages that were not answered yet. */
  get size(): number {
    return this.#known.size;
  }

  /**
   * Takes a stanza; the same id to the same recipient while it is under way is the same stanza. Rejects with a
   * BimipError: what the server answered, 409 for the id of another kind under way, 500 when it cannot be kept.
   */
  add(item: OutboxItem): Promise<Sent> {
    const known = this.#known.get(keyOf(item.id, item.eid));
    if (known === undefined) return this.#enter(item).promise;
    if (known.kind === item.kind) return known.promise;
    const text = `id: ${item.id} is under way to ${item.eid} as another kind`;
    return Promise.reject(new BimipError(ErrorCode.CONFLICT, text, { field: "id", id: item.id }));
  }

  /** What an earlier process kept, in its order. Nobody waits for these; their states are told. */
  restore(items: readonly OutboxItem[]): void {
    for (const item of items) {
      if (this.#known.has(keyOf(item.id, item.eid))) continue;
      const entry = this.#newEntry(item);
      entry.promise.catch(() => undefined);
      this.#queued(entry);
    }
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
    this.#bytesInFlight = 0;
    for (const hold of this.#holds.values()) clearTimeout(hold.timer);
    this.#holds.clear();
    this.#pace.interrupt();
    this.#queue = [...this.#known.values()].filter(({ kept }) => kept);
    this.#queueHead = 0;
  }

  /** SENT. true if it was waited for. */
  confirm(sent: Sent): boolean {
    const entry = this.#known.get(keyOf(sent.id, sent.to));
    if (entry === undefined) return false;
    if (this.#holds.get(entry.eid)?.holding === false) this.#holds.delete(entry.eid);
    this.#settle(entry);
    this.#options.states.sent(sent.id, sent.to, sent.index);
    entry.resolve(sent);
    return true;
  }

  /** Names of the messages that were sent and wait for their answer; `of`: only of those. */
  inFlight(of?: ReadonlySet<string>): Set<string> {
    const names = [...this.#inFlight.keys()];
    return new Set(of === undefined ? names : names.filter((name) => of.has(name)));
  }

  /** A message of that id waits for its answer. */
  isUnderWay(id: string): boolean {
    return this.#underWay(id) !== undefined;
  }

  /** An error that names a stanza. true if it was a message of ours that is rejected with it. */
  refuse(error: BimipError): boolean {
    const entry = this.#underWay(error.id ?? "");
    if (entry === undefined) return false;
    this.#settle(entry);
    this.#options.states.failed(entry.id, entry.eid, error);
    entry.reject(error);
    return true;
  }

  /**
   * The server could not store it now. true if it was a message of ours, which will be sent again.
   *
   * @param waitMs when, as the server said: then what is for other recipients has to wait as well; 0 = it did not
   * @param tooFast the others have to wait however that may be
   */
  postpone(id: string, waitMs = 0, tooFast = false): boolean {
    const entry = this.#underWay(id);
    if (entry === undefined) return false;
    this.#land(entry);
    if (tooFast || waitMs > 0) this.#pace.refused(waitMs);
    let hold = this.#holds.get(entry.eid);
    if (hold === undefined) {
      hold = { attempt: 0, waitMs: 0, holding: false, waiting: [], timer: undefined };
      this.#holds.set(entry.eid, hold);
    }
    if (!hold.holding) {
      hold.holding = true;
      hold.attempt++;
    }
    hold.waitMs = Math.max(hold.waitMs, waitMs);
    hold.waiting.push(entry);
    this.#releaseWhenAnswered(entry.eid);
    this.#pump();
    return true;
  }

  /**
   * Nothing will be sent any more: everything unanswered fails, but what is in the store stays there. Without a store the
   * error says of what was sent that its outcome is unknown.
   */
  abandon(error: BimipError): void {
    const entries = [...this.#known.values()];
    this.#known.clear();
    this.interrupt();
    for (const entry of entries) {
      const keeps = this.#options.store !== undefined;
      const told = entry.wasSent && !keeps ? outcomeUnknown(entry.id, error) : error;
      if (!keeps) this.#options.states.failed(entry.id, entry.eid, told);
      entry.reject(told);
    }
  }

  #newEntry(item: OutboxItem): OutboxEntry {
    const entry = createEntry(item, this.#order++);
    this.#known.set(keyOf(item.id, item.eid), entry);
    return entry;
  }

  #enter(item: OutboxItem): OutboxEntry {
    const entry = this.#newEntry(item);
    const { store, states } = this.#options;
    if (store === undefined) {
      this.#queued(entry);
      return entry;
    }
    store.put({ key: keyOf(item.id, item.eid), frame: item.frame }).then(
      () => this.#queued(entry),
      (error: unknown) => {
        if (!this.#isKnown(entry)) return;
        const told = BimipError.from(error);
        this.#known.delete(keyOf(entry.id, entry.eid));
        states.failed(entry.id, entry.eid, told);
        entry.reject(told);
      },
    );
    return entry;
  }

  #queued(entry: OutboxEntry): void {
    if (!this.#isKnown(entry)) return;
    entry.kept = true;
    this.#options.states.queued(entry.id, entry.eid);
    this.#queue.push(entry);
    this.#pump();
  }

  #isKnown(entry: OutboxEntry): boolean {
    return this.#known.get(keyOf(entry.id, entry.eid)) === entry;
  }

  #pump(): void {
    const transmit = this.#transmit;
    if (transmit === undefined) return;
    while (this.#inFlight.size < this.#pace.limit) {
      const entry = this.#queue[this.#queueHead];
      // An error names no recipient: one id to a second one waits for the answer about the first.
      if (entry === undefined || this.#underWay(entry.id) !== undefined) break;
      if (this.#bytesInFlight > 0 && this.#bytesInFlight + entry.frame.length > MAX_BYTES_IN_FLIGHT) break;
      this.#queueHead++;
      const hold = this.#holds.get(entry.eid);
      if (hold?.holding === true) {
        hold.waiting.push(entry);
        continue;
      }
      this.#inFlight.set(keyOf(entry.id, entry.eid), entry);
      this.#bytesInFlight += entry.frame.length;
      entry.wasSent = true;
      transmit(entry.frame);
    }
    if (this.#queueHead === this.#queue.length) {
      this.#queue = [];
      this.#queueHead = 0;
    }
  }

  #settle(entry: OutboxEntry): void {
    const key = keyOf(entry.id, entry.eid);
    this.#known.delete(key);
    this.#options.store?.remove(key);
    if (!this.#land(entry)) this.#forget(entry);
    this.#releaseWhenAnswered(entry.eid);
    this.#pump();
  }

  /** It is answered, one way or another. false if it was not under way. */
  #land(entry: OutboxEntry): boolean {
    if (!this.#inFlight.delete(keyOf(entry.id, entry.eid))) return false;
    this.#bytesInFlight -= entry.frame.length;
    return true;
  }

  /** An answer came for what we were about to send again. */
  #forget(entry: OutboxEntry): void {
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
    const delayMs = Math.max(hold.waitMs, backoffMs(hold.attempt, this.#options.backoff));
    hold.timer = setTimeout(() => this.#release(hold), delayMs);
  }

  #release(hold: Hold): void {
    hold.timer = undefined;
    hold.waitMs = 0;
    hold.holding = false;
    const again = hold.waiting.splice(0).sort((a, b) => a.order - b.order);
    this.#queue = [...again, ...this.#queue.slice(this.#queueHead)];
    this.#queueHead = 0;
    this.#pump();
  }

  /** The message an error speaks of: of one id, never more than one is under way. */
  #underWay(id: string): OutboxEntry | undefined {
    if (id === "") return undefined;
    for (const entry of this.#inFlight.values()) if (entry.id === id) return entry;
    return undefined;
  }
}

function outcomeUnknown(id: string, cause: BimipError): BimipError {
  const hint = "outcome unknown: it may be stored; repeat it with the same id and timestamp";
  return new BimipError(cause.code, `${cause.details}; ${hint}`, { id, cause });
}

function keyOf(id: string, eid: string): string {
  return `${id}\0${eid}`;
}
