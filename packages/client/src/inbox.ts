import { BimipError, ErrorCode, type Message, type PushNotification, type Signal, SignalStatus } from "@bimip/protocol";
import { Arrivals, type ArrivalsOptions } from "./arrivals.js";
import type { BackoffOptions } from "./backoff.js";
import type { ClientEvents } from "./client-options.js";
import type { StoredProgress } from "./client-store.js";
import type { Emitter } from "./emitter.js";
import { HandlerQueue, type Job, type Outcome } from "./handler-queue.js";
import { type ReceiptMethods, toIncoming } from "./incoming-message.js";
import { type Entry, logIndexOf } from "./log-position.js";
import type { OutgoingStates } from "./outgoing-states.js";
import { Progress } from "./progress.js";
import type { Receipts } from "./receipts.js";
import { entryName, SeenEntries } from "./seen-entries.js";

export interface InboxOptions {
  readonly events: Emitter<ClientEvents>;
  readonly receipts: Receipts;
  readonly states: OutgoingStates;
  /** false: messages and pushes of others are acknowledged only when the application says so. */
  readonly acknowledges: boolean;
  readonly begin: ArrivalsOptions["begin"];
  /** Waits before an entry is handed over again that a handler failed on, and before a gap is asked for again. */
  readonly backoff: BackoffOptions;
  readonly inFlight: ArrivalsOptions["inFlight"];
  /** The account; "" = not known. */
  readonly eid: () => string;
  /** The stored stanzas of this connection come before it is up to date. */
  readonly replaying: () => boolean;
  /** The application has taken everything up to `index`; `seen` are the entries' names. */
  readonly onProgress: (progress: Omit<StoredProgress, "owner">) => void;
  /** The handlers are, or are no longer, far behind. */
  readonly onFull: () => void;
  /** The server can be made to wait, so that only what is on its way comes in vain while they are. */
  readonly mayDrop: () => boolean;
}

/** The message that a receipt is about. */
interface Target {
  readonly id: string;
  readonly from: string;
  readonly index: number;
}

/** Entries that wait for handlers at most: more come only while the client waits for an answer that comes behind them. */
const WAITING_ENTRIES = 1_024;
const FAILED = "a handler failed: that entry is handed over again, and what follows waits";
const UNHEARD = "nobody listens to messages or pushes: nothing is acknowledged until somebody does";

/**
 * Hands the log to the application, one entry after the other, and acknowledges what it has taken. What a handler
 * failed on is handed over again, and what follows waits. While nobody listens nothing is taken from the log.
 */
export class Inbox {
  readonly #o: InboxOptions;
  readonly arrivals: Arrivals;
  #queue: HandlerQueue;
  #seen = new SeenEntries();
  #progress = new Progress();
  /** The application has taken everything up to here. */
  #taken = 0;
  /** Names of what came and was not taken yet. */
  readonly #open = new Set<string>();
  /** Behind here is what came while nobody listened, or while the handlers were too far behind; undefined: nothing is. */
  #missedAfter: bigint | undefined;
  #stopped = false;
  /** Counts the logs: what was to be said of an earlier one is void. */
  #log = 0;

  constructor(options: InboxOptions) {
    this.#o = options;
    this.#queue = this.#newQueue();
    this.arrivals = new Arrivals({
      begin: options.begin,
      backoff: options.backoff,
      inFlight: options.inFlight,
      isKnown: (entry) => this.#seen.has(entryName(entry) ?? ""),
      onEntry: (entry, before) => this.#onEntry(entry, before),
      onOtherLog: () => this.#forget(),
    });
  }

  /** The handlers are far behind. */
  get full(): boolean {
    return this.#queue.full;
  }

  /** What an earlier process left. */
  restore({ index, epoch, seen }: Omit<StoredProgress, "owner">): void {
    // With a position of our own we know better, such as after close() and connect().
    if (this.arrivals.index > 0n) return;
    this.arrivals.restore(BigInt(index), BigInt(epoch));
    this.#taken = index;
    this.#seen = new SeenEntries(seen);
  }

  take(stanza: Entry): void {
    if (logIndexOf(stanza) === 0n) return this.#jobOf(stanza, () => undefined)(() => undefined);
    if (!this.#stopped) this.arrivals.take(stanza);
  }

  /** RESUME was answered. true if everything up to the head came. */
  resumed(signal: Signal): boolean {
    const { index } = this.arrivals;
    const epoch = this.arrivals.epochAt(this.#taken);
    if (this.arrivals.resumed(signal) !== "complete") return false;
    if (this.#missedAfter !== undefined || this.#stopped) return true;
    // Between the last entry and the head lie copies of what this device sent: they need nobody's attention.
    if (this.arrivals.index > index) this.#begin(Number(this.arrivals.index), undefined)();
    // Nobody knew it while the entries before were saved.
    else if (this.arrivals.epochAt(this.#taken) !== epoch) this.#save([]);
    return true;
  }

  /** A handler was added: what nobody heard is handed over now. */
  heard(): void {
    if (this.#stopped || !this.#listens()) return;
    this.#queue.heard();
    this.#askForMissed();
  }

  /**
   * Takes nothing any more. Resolves when the handlers that run now are through; undefined = none do. Then what was not
   * taken is as if it had never come.
   */
  stop(): Promise<void> | undefined {
    this.#stopped = true;
    return this.#queue.end();
  }

  /** Takes entries again, from the first that was not taken. */
  start(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#progress.end(this.#taken);
    this.#progress = new Progress();
    this.#queue = this.#newQueue();
    for (const name of this.#open) this.#seen.delete(name);
    this.#open.clear();
    this.#missedAfter = undefined;
    this.arrivals.restore(BigInt(this.#taken));
  }

  /** What the application may say of a message, also of one from the history. */
  receiptsOf({ id, from, index }: Target, taken?: () => void): ReceiptMethods {
    const given = new Set<number>();
    const progress = this.#progress;
    const log = this.#log;
    const give = (status: number): void => {
      if (log !== this.#log || from === this.#o.eid() || given.has(status)) return;
      // Whoever read it has it.
      const implied = given.has(SignalStatus.READ) || given.has(SignalStatus.PLAYED);
      if (status === SignalStatus.DELIVERED && implied) return;
      given.add(status);
      progress.behind(index, () => this.#o.receipts.give({ status, id, to: from, index }));
      taken?.();
    };
    return {
      delivered: () => give(SignalStatus.DELIVERED),
      read: () => give(SignalStatus.READ),
      played: () => give(SignalStatus.PLAYED),
      forwarded: () => give(SignalStatus.FORWARDED),
    };
  }

  #newQueue(): HandlerQueue {
    const onFull = (full: boolean): void => {
      if (!full) this.#askForMissed();
      this.#o.onFull();
    };
    return new HandlerQueue({ backoff: this.#o.backoff, onFull });
  }

  #askForMissed(): void {
    if (this.#stopped || !this.#listens()) return;
    const index = this.#missedAfter;
    if (index === undefined) return;
    this.#missedAfter = undefined;
    this.arrivals.rewind(index);
  }

  #onEntry(entry: Entry, before: bigint): void {
    if (entry.kind === "signal") this.#o.states.receipt(entry.value);
    if (!this.#listens()) return this.#onUnheard(entry, before);
    if (this.#missedAfter !== undefined) return;
    if (this.#queue.waiting >= WAITING_ENTRIES && this.#o.mayDrop()) {
      this.#missedAfter = before;
      return;
    }
    const name = entryName(entry);
    const repeated = name !== undefined && this.#seen.has(name);
    if (name !== undefined && !repeated) {
      this.#seen.add(name);
      this.#open.add(name);
    }
    const taken = this.#begin(Number(logIndexOf(entry)), repeated ? undefined : name);
    if (repeated) return taken();
    const job = this.#jobOf(entry, taken);
    this.#queue.push((settle) => {
      if (!this.#listens()) {
        this.#tell(UNHEARD);
        return settle("unheard");
      }
      job((outcome) => {
        if (outcome === "failed") this.#tell(FAILED);
        settle(outcome);
      });
    });
  }

  /** What is no message has its own handlers, and reaches them; it is acknowledged with the messages. */
  #onUnheard(entry: Entry, before: bigint): void {
    if (this.#missedAfter === undefined) {
      this.#missedAfter = before;
      this.#tell(UNHEARD);
    }
    const name = entryName(entry);
    if (entry.kind === "message" || entry.kind === "pushNotification" || name === undefined) return;
    if (this.#seen.has(name)) return;
    this.#seen.add(name);
    this.#jobOf(entry, () => undefined)(() => undefined);
  }

  #begin(index: number, name: string | undefined): () => void {
    return this.#progress.begin(index, () => {
      this.#taken = index;
      if (name !== undefined) this.#open.delete(name);
      this.#o.receipts.cursor(index);
      this.#save(name === undefined ? [] : [name]);
    });
  }

  #save(seen: readonly string[]): void {
    const epoch = Number(this.arrivals.epochAt(this.#taken));
    this.#o.onProgress({ index: this.#taken, epoch, seen });
  }

  /** Hands a stanza over; `taken` acknowledges it. One object for every try: what was said of it is said once. */
  #jobOf(stanza: Entry, taken: () => void): Job {
    const { events } = this.#o;
    const settled = (settle: (outcome: Outcome) => void) => (ok: boolean) => {
      if (ok) taken();
      settle(ok ? "taken" : "failed");
    };
    switch (stanza.kind) {
      case "signal":
        return (settle) => events.deliver("signal", stanza.value, settled(settle));
      case "event":
        return (settle) => events.deliver("event", stanza.value, settled(settle));
      case "message": {
        const { context, finish } = this.#acknowledgement(stanza.value, taken);
        const message = toIncoming(stanza.value, context);
        return (settle) => events.deliver("message", message, finish(events.has("message"), settle));
      }
      case "pushNotification":
      default: {
        const { context, finish } = this.#acknowledgement(stanza.value, taken);
        const push = toIncoming(stanza.value, context);
        return (settle) => events.deliver("push", push, finish(events.has("push"), settle));
      }
    }
  }

  /** How a message is acknowledged: by itself when its handlers are through, or by the application's word. */
  #acknowledgement({ id, from: sender, monotonicId }: Message | PushNotification, taken: () => void) {
    const from = sender?.eid ?? "";
    const own = from === this.#o.eid();
    const { acknowledges } = this.#o;
    let acknowledged = false;
    const acknowledge = (): void => {
      acknowledged = true;
      taken();
    };
    const receipts = this.receiptsOf({ id, from, index: Number(monotonicId) }, acknowledges ? undefined : acknowledge);
    const finish = (heard: boolean, settle: (outcome: Outcome) => void) => (ok: boolean) => {
      if (!ok && !acknowledged) return settle("failed");
      const answered = heard && !own;
      if (answered && acknowledges) receipts.delivered();
      if (!answered || acknowledges) taken();
      settle("taken");
    };
    return { context: { own, replayed: this.#o.replaying(), receipts }, finish };
  }

  /** Somebody who would miss messages is there; a client that nobody listens to must not acknowledge them. */
  #listens(): boolean {
    const { events } = this.#o;
    return events.has("message") || events.has("push");
  }

  #tell(text: string): void {
    this.#o.events.emit("error", new BimipError(ErrorCode.INTERNAL, text));
  }

  #forget(): void {
    this.#log++;
    this.#progress.end();
    this.#progress = new Progress();
    this.#o.receipts.forget();
    this.#open.clear();
    this.#missedAfter = undefined;
    this.#taken = 0;
    this.#save([]);
  }
}
