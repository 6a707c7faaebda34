import type { IncomingMessage } from "@bimip/client";
import type { Signal } from "@bimip/protocol";
import { isDue, type Truth, type TruthEntry } from "./truth.js";

export interface ApplicationOptions {
  readonly eid: string;
  readonly device: string;
  readonly truth: Truth;
  /** Runs within the device's process, after so long; never, if it is killed meanwhile. */
  readonly later: (ms: number, run: () => void) => void;
  /** How long it takes for a message; 0: it answers within the call. */
  readonly handlerMs: () => number;
  /** Whether it says of a message that it was read. */
  readonly reads: () => boolean;
  readonly fail: (rule: string, details: string) => void;
}

/** What runs on a device: takes messages, one life after the other, and knows the rules of what it may be given. */
export class Application {
  /** The last entry that it was given in this life. */
  lastIndex = 0;
  /** Messages that it works on. */
  busy = 0;
  readonly #o: ApplicationOptions;
  /** In this life. */
  #names = new Set<string>();
  #order = new Map<string, number>();
  #kept = 0;
  /** Indexes and names of what it ever finished. */
  readonly #done = new Set<number>();
  readonly #doneNames = new Set<string>();
  /** Messages of others that it finished and that no receipt was seen for. */
  #untold: TruthEntry[] = [];
  readonly #read = new Set<TruthEntry>();
  /** A process was killed and nothing of it kept. */
  #forgetful = false;
  /** Entries of its log up to here need not be looked at again. */
  #checked = 0;

  constructor(options: ApplicationOptions) {
    this.#o = options;
  }

  /** @param kept what its store says that it has finished */
  begin(kept: number): void {
    this.lastIndex = 0;
    this.busy = 0;
    this.#kept = kept;
    this.#names = new Set();
    this.#order = new Map();
  }

  /**
   * Its process was killed. DELIVERED is not written to the store while it can be sent, so it may be lost then; what a
   * person did, as READ, is.
   */
  end(keeps: boolean): void {
    this.#untold = keeps ? this.#untold.filter((entry) => this.#read.has(entry)) : [];
    this.#forgetful ||= !keeps;
  }

  onSignal({ id, from, status }: Signal): void {
    const name = `receipt ${from?.eid} ${id} ${status}`;
    if (this.#names.has(name)) this.#fail("the application hears each receipt once", name);
    this.#names.add(name);
  }

  onMessage(message: IncomingMessage): Promise<void> | undefined {
    const { index, id, from, to, text } = message;
    const entry = this.#o.truth.find(this.#o.eid, index);
    if (entry === undefined || entry.id !== id || entry.from.eid !== from.eid) {
      this.#fail("the application gets what is stored", `${id} at ${index}`);
      return undefined;
    }
    if (index <= this.#kept) this.#fail("what the store holds as taken does not come again", `${index}, ${this.#kept}`);
    if (index <= this.lastIndex)
      this.#fail("the application gets the log in order", `${index} after ${this.lastIndex}`);
    this.lastIndex = index;
    if (this.#names.has(entry.name)) {
      this.#fail("the application sees each message once", `${id} from ${from.eid} at ${index}`);
    }
    this.#names.add(entry.name);
    const sender = `${from.eid}/${from.device ?? ""} ${to.eid}`;
    const before = this.#order.get(sender) ?? 0;
    if (Number(text) <= before) this.#fail("order per sender and recipient", `${text} after ${before} from ${sender}`);
    this.#order.set(sender, Number(text));
    const ms = this.#o.handlerMs();
    if (ms === 0) {
      this.#finish(entry, message);
      return undefined;
    }
    this.busy++;
    return new Promise((resolve) => {
      this.#o.later(ms, () => {
        this.busy--;
        this.#finish(entry, message);
        resolve();
      });
    });
  }

  /** The first entry behind `base` that it should have finished; `excused`: it claimed to have it. */
  missing(base: number, excused: (index: number) => boolean): TruthEntry | undefined {
    const log = this.#o.truth.log(this.#o.eid);
    for (; this.#checked < log.length; this.#checked++) {
      const entry = log[this.#checked] as TruthEntry;
      const { kind, name, seq, stored } = entry;
      if (kind !== "message" || stored.gone || seq <= base || excused(seq)) continue;
      if (isDue(entry, this.#o.device, false) && !this.#done.has(seq) && !this.#doneNames.has(name)) return entry;
    }
    return undefined;
  }

  /** The first message that it finished, and whose author knows of no receipt. */
  untold(): TruthEntry | undefined {
    if (this.#forgetful) return undefined;
    this.#untold = this.#untold.filter((entry) => !entry.stored.gone && !this.#o.truth.isTold(entry));
    return this.#untold[0];
  }

  #finish(entry: TruthEntry, message: IncomingMessage): void {
    const { eid } = this.#o;
    this.#done.add(entry.seq);
    this.#doneNames.add(entry.name);
    if (entry.toEid === eid && entry.from.eid !== eid) this.#untold.push(entry);
    if (!this.#o.reads()) return;
    this.#read.add(entry);
    message.read();
  }

  #fail(rule: string, details: string): void {
    this.#o.fail(rule, details);
  }
}
