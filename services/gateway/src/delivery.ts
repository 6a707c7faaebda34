import { setTimeout as delay } from "node:timers/promises";
import {
  encodeStanza,
  entryKind,
  entryTarget,
  isFrom,
  SignalSchema,
  SignalStatus,
  SignalType,
  withIndexes,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { type LogEntry, jitteredStepMs } from "@bimip/nats";
import type { CatchUpReason, DeliveryOptions, LiveEntry, Start } from "./delivery-options.js";

interface NextPage {
  readonly after: number;
  readonly page: Promise<LogEntry[]>;
}

const PAGE_ENTRIES = 256;
/** A slow socket gets pages of about what it took last time, so that little is read from the log in vain. */
const MIN_PAGE_ENTRIES = 16;
/** Live copies kept while pages are read, so that a busy log does not have to fall silent before we are live again. */
const AHEAD_ENTRIES = 256;
/** Flush, and look whether the peer still takes it, after so many bytes of a page. */
const FLUSH_BYTES = 32 * 1024;
const RETRY_MS = [200, 400, 800, 1_600, 3_000] as const;
/** A replica that lags behind the leader gets so much time before it is asked again. */
const STALE_REPLICA_MS = 10;

/**
 * Hands one user's log to one device, in order, once, without a gap.
 *
 * Live: a copy whose predecessor is our position is handed on. Anything else, a slow socket included, switches to
 * catch-up: pages are read from the log until they meet the live copies again. Connecting and RESUME are the same
 * path with another starting position. Nothing here has to survive a restart.
 */
export class Delivery {
  readonly #o: DeliveryOptions;
  /** Everything up to here was handed over, or is not for this device. */
  #position = 0;
  /** Last index that this device was told: previous_id of the next. */
  #told = 0;
  #mode: "idle" | "catchUp" | "live" | "closed" = "idle";
  #reason: CatchUpReason = "connect";
  /** The one loop that reads pages now; a new start leaves the older one behind. */
  #loop: symbol | undefined;
  #ahead: LiveEntry[] = [];
  #liveHead = 0;
  #announced = false;
  #pageEntries = PAGE_ENTRIES;
  #epoch = 0;
  /** Own copies that SENT told of, ahead of the position. */
  readonly #ownTold = new Set<number>();
  /** Entries up to here are known to be gone; for a start that does not know it yet. */
  #trimmedTo = 0;
  /** The head that was found before the position, and at which position: asked about once. */
  #back: { readonly head: number; readonly position: number } | undefined;
  /** The replay under way: reaching the head that the log had at its begin is still to be announced. */
  #replay: Start | undefined;

  constructor(options: DeliveryOptions) {
    this.#o = options;
  }

  /** Everything up to here was handed over, or is not for this device. */
  get position(): number {
    return this.#position;
  }

  /** The device was told once at least where its log stands: RESUME's answer went out. */
  get announced(): boolean {
    return this.#announced;
  }

  /** The log that the position is one of; 0 before the first start. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The device was told where its log stands, and has all of it. */
  get atHead(): boolean {
    return this.#announced && this.#mode === "live";
  }

  /**
   * Hands over what lies behind `start.after`, announces the head by RESUME, goes live. Answers with the id of a RESUME whose
   * replay this one ends before it was announced; "" = none.
   */
  start(start: Start, reason: CatchUpReason): string {
    if (this.#mode === "closed") return "";
    const overtaken = this.#replay?.id ?? "";
    if (start.epoch !== this.#epoch) {
      this.#liveHead = 0;
      this.#trimmedTo = 0;
      this.#ownTold.clear();
    }
    this.#position = start.after;
    this.#told = start.after;
    this.#replay = start;
    this.#epoch = start.epoch;
    this.#loop = undefined;
    this.#toCatchUp(reason);
    if (this.#trimmedTo >= start.firstId) this.onTrimmed(this.#trimmedTo);
    return overtaken;
  }

  /** A live copy. */
  onLive(entry: LiveEntry, encode: (entry: LiveEntry, previousId: number) => Uint8Array): void {
    const isBack = this.#goesBack(entry);
    if (entry.index > this.#liveHead) this.#liveHead = entry.index;
    if (this.#mode === "live") {
      if (isBack) return this.#toCatchUp("position");
      if (entry.index <= this.#position) return;
      if (this.#o.socket.congested) return this.#toCatchUp("slow");
      if (!follows(entry, this.#position)) return this.#toCatchUp("gap", entry);
      this.#hand(entry.index, entry.bytes, () => encode(entry, this.#told));
      if (this.#o.socket.congested) this.#toCatchUp("slow");
    } else if (this.#mode === "catchUp" && !this.#o.socket.congested) {
      if (this.#ahead.length >= AHEAD_ENTRIES) this.#ahead = [];
      this.#ahead.push(entry);
    }
  }

  /** The device may have missed something: NATS was away. */
  onDoubt(reason: CatchUpReason): void {
    if (this.#mode === "live") return this.#toCatchUp(reason);
    if (this.#mode !== "catchUp") return;
    this.#loop = undefined; // its target may be from before
    this.#ahead = [];
    this.#read();
  }

  /** The log's head lies elsewhere, and not because something is on its way. False if that is looked at already. */
  onHead(head: number): boolean {
    if (this.#mode !== "live" || this.#isAskedAbout(head)) return false;
    this.#toCatchUp("position");
    return true;
  }

  /** SENT told the device where its own copy lies: from there on it counts for previous_id. */
  ownTold(index: number): void {
    if (this.#mode === "idle") return; // nothing is handed over: a session that only sends keeps no list
    if (index > this.#position) this.#ownTold.add(index);
    else if (index > this.#told) this.#told = index;
  }

  /** Entries up to `trimmedTo` are gone. A device that did not have them yet is told, never silently skipped. */
  onTrimmed(trimmedTo: number): void {
    this.#trimmedTo = Math.max(trimmedTo, this.#trimmedTo);
    if (this.#mode !== "catchUp" || trimmedTo <= this.#position) return;
    this.#signalResume({
      position: this.#position,
      firstId: trimmedTo + 1,
      details: `entries up to ${trimmedTo} were trimmed before they could be handed over; ${this.#position} was the last one`,
    });
  }

  /** The socket takes bytes again. */
  onDrain(): void {
    if (this.#mode === "catchUp") this.#read();
  }

  close(): void {
    this.#leaveCatchUp();
    this.#mode = "closed";
    this.#ahead = [];
  }

  #toCatchUp(reason: CatchUpReason, first?: LiveEntry): void {
    this.#o.metrics.catchUpStarts.inc({ reason });
    this.#leaveCatchUp();
    this.#o.metrics.catchUp.inc({ reason });
    this.#reason = reason;
    this.#mode = "catchUp";
    this.#ahead = first === undefined ? [] : [first];
    this.#read();
  }

  #leaveCatchUp(): void {
    if (this.#mode === "catchUp") this.#o.metrics.catchUp.dec({ reason: this.#reason });
  }

  #read(): void {
    if (this.#loop !== undefined || this.#o.socket.congested) return; // drain comes back here
    const loop = Symbol("loop");
    this.#loop = loop;
    void this.#readPages(loop);
  }

  async #readPages(loop: symbol): Promise<void> {
    const current = (): boolean => loop === this.#loop && this.#mode === "catchUp";
    let target: number | undefined;
    let next: NextPage | undefined;
    let failures = 0;
    while (current()) {
      try {
        if (target === undefined) {
          target = await this.#o.reader.head(this.#o.eid);
          if (!current()) return;
          failures = 0;
          if (target < this.#position) this.#askAbout(target);
          if (!current()) return;
        }
        if (this.#position < target) {
          const page = await (next?.after === this.#position ? next.page : this.#page(this.#position));
          if (!current()) return;
          if (this.#o.socket.congested) return this.#pause(); // slow since the page was asked for
          next = this.#pageAfter(page, target);
          this.#handPage(page);
          if (this.#o.socket.congested) return this.#pause();
          if (page.length === 0) {
            // Either this replica lags, or what lay before the target is gone since: ask the leader anew.
            target = undefined;
            await delay(STALE_REPLICA_MS);
            const liveHead = this.#liveHead;
            const head = await this.#o.reader.head(this.#o.eid);
            if (!current()) return;
            if (head > this.#position) continue;
            if (this.#liveHead === liveHead) this.#liveHead = this.#position; // what it named has expired
            target = this.#position;
          }
        }
        if (current() && this.#position >= target && this.#meetLive()) return;
        if (this.#position >= target) target = Math.max(target, this.#liveHead);
        if (this.#o.socket.congested) return this.#pause();
      } catch (error) {
        if (failures === 0) this.#o.onError(error);
        target = undefined;
        next = undefined;
        await delay(jitteredStepMs(RETRY_MS, failures++));
      }
    }
  }

  /** Copies come in the order of the log: an earlier index, or a beginning, means that the log is not the one it was. */
  #goesBack({ index, previous }: LiveEntry): boolean {
    return index <= this.#liveHead || (previous === 0 && index < this.#position);
  }

  #askAbout(head: number): void {
    if (this.#isAskedAbout(head)) return;
    this.#back = { head, position: this.#position };
    this.#o.onBack();
  }

  #isAskedAbout(head: number): boolean {
    return this.#back?.head === head && this.#back.position === this.#position;
  }

  #page(after: number): Promise<LogEntry[]> {
    return this.#o.reader.page(this.#o.eid, after, this.#pageEntries);
  }

  /** Asks for the next page already while this one is handed over, unless the socket is slow. */
  #pageAfter(page: readonly LogEntry[], target: number): NextPage | undefined {
    const after = page.at(-1)?.index;
    if (after === undefined || after >= target || this.#pageEntries < PAGE_ENTRIES) return undefined;
    const next = this.#page(after);
    next.catch(() => undefined); // whoever awaits it hears of it; nobody may
    return { after, page: next };
  }

  #handPage(page: readonly LogEntry[]): void {
    let bytes = 0;
    let handed = 0;
    for (const { index, bytes: entry } of page) {
      handed++;
      if (index <= this.#position) continue;
      this.#hand(index, entry, () => withIndexes(entry, index, this.#told));
      bytes += entry.length;
      if (bytes < FLUSH_BYTES) continue;
      bytes = 0;
      this.#o.socket.flush();
      if (this.#o.socket.congested) break;
    }
    this.#o.socket.flush();
    this.#pageEntries = this.#o.socket.congested
      ? Math.max(MIN_PAGE_ENTRIES, Math.min(handed, PAGE_ENTRIES))
      : Math.min(this.#pageEntries * 2, PAGE_ENTRIES);
  }

  /** Slow sockets cost no memory: live copies are not kept, the log is the buffer. Goes on at drain. */
  #pause(): void {
    this.#loop = undefined;
    this.#ahead = [];
  }

  /** The pages reached the target: go live if what came meanwhile joins on. */
  #meetLive(): boolean {
    if (this.#replay !== undefined) this.#announce(this.#replay);
    const ahead = this.#ahead.filter((entry) => entry.index > this.#position);
    this.#ahead = [];
    const first = ahead[0];
    if (first === undefined ? this.#liveHead > this.#position : !follows(first, this.#position)) return false;
    this.#leaveCatchUp();
    this.#mode = "live";
    this.#loop = undefined; // before what follows: it may have to start the next one
    for (const entry of ahead)
      this.onLive(entry, (live, previousId) => withIndexes(live.bytes, live.index, previousId));
    return true;
  }

  #announce({ id, firstId, details }: Start): void {
    this.#replay = undefined;
    this.#announced = true;
    this.#signalResume({ id, position: this.#position, firstId, details });
  }

  #signalResume(answer: { id?: string; position: number; firstId: number; details: string }): void {
    const signal = create(SignalSchema, {
      id: answer.id ?? "",
      type: SignalType.RESPONSE,
      status: SignalStatus.RESUME,
      monotonicId: BigInt(answer.position),
      timestamp: BigInt(Date.now()),
      firstId: BigInt(answer.firstId),
      epoch: BigInt(this.#epoch),
      details: answer.details,
    });
    this.#o.socket.send(encodeStanza("signal", signal));
  }

  #hand(index: number, bytes: Uint8Array, encode: () => Uint8Array): void {
    this.#position = index;
    const wasTold = this.#ownTold.delete(index);
    if (this.#replay?.withOwn !== true && isFrom(bytes, this.#o.identityPrefix)) {
      // Of an own copy in a replay the device was told in an earlier session; of its own receipt to itself it never is.
      if (wasTold || (this.#replay !== undefined && entryKind(bytes) !== "signal")) this.#told = index;
      return;
    }
    const target = entryTarget(bytes);
    if (target.device !== undefined && target.device !== this.#o.device && target.eid === this.#o.eid) return;
    this.#o.socket.send(encode());
    this.#o.metrics.delivered.inc();
    this.#told = index;
  }
}

/** 0 as predecessor is ambiguous (none, or expired): only an empty position can be sure of it. */
function follows(entry: LiveEntry, position: number): boolean {
  return entry.previous === 0 ? position === 0 : entry.previous <= position;
}
