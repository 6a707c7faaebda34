import { BimipError, ErrorCode, type Signal, SignalStatus, SignalType, type Stanza } from "@bimip/protocol";
import type { ClientEvents } from "./client-options.js";
import type { StoredProgress } from "./client-store.js";
import type { Emitter } from "./emitter.js";
import { type ReceiptMethods, toIncoming } from "./incoming-message.js";
import { LogPosition, logIndexOf } from "./log-position.js";
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
  /** The account; "" = not known. */
  readonly eid: () => string;
  /** The application has taken everything up to `index`; `seen` are the entries' names. */
  readonly onProgress: (progress: Omit<StoredProgress, "owner">) => void;
}

/** A stanza that may come from the log. */
type Entry = Extract<Stanza, { kind: "message" | "pushNotification" | "signal" | "event" }>;

/** The message that a receipt is about. */
interface Target {
  readonly id: string;
  readonly from: string;
  readonly index: number;
}

const EVENT_OF_KIND = { message: "message", pushNotification: "push", signal: "signal", event: "event" } as const;

/**
 * Hands the log to the application, each entry once and in order, and acknowledges what it has taken: what a handler
 * failed on, and everything behind it, stays unacknowledged, as does everything while nobody listens.
 */
export class Inbox {
  readonly #o: InboxOptions;
  readonly #position = new LogPosition();
  #seen = new SeenEntries();
  #progress = new Progress();
  /** The application has taken everything up to here. */
  #taken = 0;
  #failed = false;

  constructor(options: InboxOptions) {
    this.#o = options;
  }

  /** The log index behind which to go on; 0 = the server knows best. */
  get index(): bigint {
    return this.#position.index;
  }

  /** What an earlier process left. */
  restore({ index, epoch, seen }: Omit<StoredProgress, "owner">): void {
    // With a position of our own we know better, such as after close() and connect().
    if (this.#position.index > 0n) return;
    this.#position.restore(BigInt(index), BigInt(epoch));
    this.#taken = index;
    this.#seen = new SeenEntries(seen);
  }

  take(stanza: Entry, replayed: boolean): void {
    const at = logIndexOf(stanza);
    if (at === 0n) return this.#hand(stanza, replayed, () => undefined);
    if (!this.#position.accept(at)) return;
    const index = Number(at);
    const name = entryName(stanza);
    const repeated = name !== undefined && this.#seen.has(name);
    if (name !== undefined && !repeated) this.#seen.add(name);
    const taken = this.#begin(index, name === undefined || repeated ? [] : [name]);
    if (repeated) return taken();
    if (stanza.kind === "signal") this.#o.states.receipt(stanza.value);
    this.#hand(stanza, replayed, taken);
  }

  /** SENT told where the device's own copy lies. */
  ownCopy(logIndex: bigint): void {
    this.#position.ownCopy(logIndex);
  }

  /** RESUME was answered. "again": the log is not the one we knew, all of it is to be asked for. */
  resumed(signal: Signal): "complete" | "again" {
    if (signal.type === SignalType.ERROR) {
      // Our position lies beyond the head.
      this.#position.reset();
      this.#forget();
      return "again";
    }
    const { index, epoch } = this.#position;
    if (!this.#position.replayed(signal.monotonicId, signal.epoch)) {
      this.#forget();
      return "again";
    }
    // Between the last entry and the head lie copies of what this device sent: they need nobody's attention.
    if (signal.monotonicId > index) this.#begin(Number(signal.monotonicId), [])();
    // Nobody knew it while the entries before were saved.
    else if (signal.epoch !== epoch) this.#save([]);
    return "complete";
  }

  /** What the application may say of a message, also of one from the history. */
  receiptsOf({ id, from, index }: Target, taken?: () => void): ReceiptMethods {
    const given = new Set<number>();
    const give = (status: number): void => {
      if (from === this.#o.eid() || given.has(status)) return;
      // Whoever read it has it.
      const implied = given.has(SignalStatus.READ) || given.has(SignalStatus.PLAYED);
      if (status === SignalStatus.DELIVERED && implied) return;
      given.add(status);
      this.#progress.behind(index, () => this.#o.receipts.give({ status, id, to: from, index }));
      taken?.();
    };
    return {
      delivered: () => give(SignalStatus.DELIVERED),
      read: () => give(SignalStatus.READ),
      played: () => give(SignalStatus.PLAYED),
      forwarded: () => give(SignalStatus.FORWARDED),
    };
  }

  #begin(index: number, seen: readonly string[]): () => void {
    return this.#progress.begin(index, () => {
      this.#taken = index;
      this.#o.receipts.cursor(index);
      this.#save(seen);
    });
  }

  #save(seen: readonly string[]): void {
    this.#o.onProgress({ index: this.#taken, epoch: Number(this.#position.epoch), seen });
  }

  #hand(stanza: Entry, replayed: boolean, taken: () => void): void {
    const { events } = this.#o;
    const done = (ok: boolean): void => {
      if (!ok) this.#fail();
      else if (this.#listens()) taken();
    };
    if (stanza.kind === "signal") return events.deliver("signal", stanza.value, done);
    if (stanza.kind === "event") return events.deliver("event", stanza.value, done);
    const from = stanza.value.from?.eid ?? "";
    const own = from === this.#o.eid();
    const index = Number(stanza.value.monotonicId);
    const receipts = this.receiptsOf({ id: stanza.value.id, from, index }, taken);
    const event = EVENT_OF_KIND[stanza.kind];
    const answered = !own && (events.has(event) || events.has("stanza"));
    const finish = (ok: boolean): void => {
      if (!ok || !answered) done(ok);
      else if (this.#o.acknowledges) receipts.delivered();
    };
    const context = { own, replayed, receipts };
    if (stanza.kind === "message") events.deliver("message", toIncoming(stanza.value, context), finish);
    else events.deliver("push", toIncoming(stanza.value, context), finish);
  }

  /** Somebody who would miss messages is there; a client that nobody listens to must not acknowledge them. */
  #listens(): boolean {
    const { events } = this.#o;
    return events.has("message") || events.has("push") || events.has("stanza");
  }

  #fail(): void {
    if (this.#failed) return;
    this.#failed = true;
    const text = "a handler failed: that entry and what follows stay unacknowledged and come again after a restart";
    this.#o.events.emit("error", new BimipError(ErrorCode.INTERNAL, text));
  }

  #forget(): void {
    this.#progress.end();
    this.#progress = new Progress();
    this.#o.receipts.forget();
    this.#taken = 0;
    this.#save([]);
  }
}
