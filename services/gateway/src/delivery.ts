import { setTimeout as delay } from "node:timers/promises";
import {
  encodeStanza,
  entryTarget,
  isFrom,
  SignalSchema,
  SignalStatus,
  SignalType,
  withIndexes,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import type { LogReader } from "@bimip/nats";
import type { GatewayMetrics } from "./metrics.js";
import type { ClientSocket } from "./ports.js";

/** A copy of a log entry that NATS republished. */
export interface LiveEntry {
  readonly index: number;
  /** Index of the entry before it in the same log; 0 = none, or expired. */
  readonly previous: number;
  readonly bytes: Uint8Array;
}

/** Why a session reads its log instead of the live copies. */
export type CatchUpReason = "connect" | "resume" | "gap" | "slow" | "reconnect";

export interface DeliveryOptions {
  readonly eid: string;
  readonly device: string;
  /** encodeIdentityPrefix of the two. */
  readonly identityPrefix: Uint8Array;
  readonly socket: ClientSocket;
  readonly reader: LogReader;
  readonly metrics: GatewayMetrics;
  /** A log that cannot be read; it is tried again. */
  readonly onError: (error: unknown) => void;
}

const PAGE_ENTRIES = 256;
/** Live copies kept while pages are read, so that a busy log does not have to fall silent before we are live again. */
const AHEAD_ENTRIES = 256;
/** Flush, and look whether the peer still takes it, after so many bytes of a page. */
const FLUSH_BYTES = 32 * 1024;
const RETRY_MS = 200;
/** A replica that lags behind the leader gets so much time before it is asked again. */
const STALE_REPLICA_MS = 10;

/**
 * Hands one user's log to one device, in order, once, without a gap.
 *
 * Live: a copy whose predecessor is our position is handed on. Anything else, a slow socket included, switches to
 * catch-up: pages are read from the log until they meet the live copies again. Connecting and RESUME are the same
 * path with another starting position. Nothing here must survive a restart.
 */
export class Delivery {
  readonly #o: DeliveryOptions;
  /** Everything up to here was handed over, or is not for this device. */
  #position = 0;
  /** Last index that this device was told: previous_id of the next. */
  #told = 0;
  #mode: "idle" | "catchUp" | "live" | "closed" = "idle";
  /** The one loop that reads pages now; a new start leaves the older one behind. */
  #loop: symbol | undefined;
  #ahead: LiveEntry[] = [];
  #liveHead = 0;
  /** Reaching the head that the log had at connect or RESUME is still to be announced, with this id. */
  #announcement: string | undefined;
  #withOwn = false;

  constructor(options: DeliveryOptions) {
    this.#o = options;
  }

  /**
   * Hands over what lies behind `after`, announces the head by RESUME, goes live.
   *
   * @param options.withOwn also what this device sent itself; default false
   * @param options.id id of the RESUME that asked
   */
  start(after: number, reason: CatchUpReason, options: { withOwn?: boolean; id?: string } = {}): void {
    if (this.#mode === "closed") return;
    this.#position = after;
    this.#told = after;
    this.#withOwn = options.withOwn ?? false;
    this.#announcement = options.id ?? "";
    this.#loop = undefined;
    this.#toCatchUp(reason);
  }

  /** Not started yet: a manual RESUME is waited for, or the first start is still to come. */
  get idle(): boolean {
    return this.#mode === "idle";
  }

  /** A live copy. */
  onLive(entry: LiveEntry, encode: (entry: LiveEntry, previousId: number) => Uint8Array): void {
    if (entry.index > this.#liveHead) this.#liveHead = entry.index;
    if (this.#mode === "live") {
      if (entry.index <= this.#position) return;
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

  /** The socket takes bytes again. */
  onDrain(): void {
    if (this.#mode === "catchUp") this.#read();
  }

  close(): void {
    if (this.#mode === "catchUp") this.#o.metrics.catchUp.dec();
    this.#mode = "closed";
    this.#ahead = [];
  }

  #toCatchUp(reason: CatchUpReason, first?: LiveEntry): void {
    this.#o.metrics.catchUpStarts.inc({ reason });
    if (this.#mode !== "catchUp") this.#o.metrics.catchUp.inc();
    this.#mode = "catchUp";
    this.#ahead = first === undefined ? [] : [first];
    this.#read();
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
    while (current()) {
      try {
        target ??= await this.#o.reader.head(this.#o.eid);
        if (!current()) return;
        if (this.#position < target) {
          const page = await this.#o.reader.page(this.#o.eid, this.#position, PAGE_ENTRIES);
          if (!current()) return;
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
        this.#o.onError(error);
        target = undefined;
        await delay(RETRY_MS);
      }
    }
  }

  #handPage(page: readonly { index: number; bytes: Uint8Array }[]): void {
    let bytes = 0;
    for (const { index, bytes: entry } of page) {
      if (index <= this.#position) continue;
      this.#hand(index, entry, () => withIndexes(entry, index, this.#told));
      bytes += entry.length;
      if (bytes < FLUSH_BYTES) continue;
      bytes = 0;
      this.#o.socket.flush();
      if (this.#o.socket.congested) return;
    }
    this.#o.socket.flush();
  }

  /** Slow sockets cost no memory: live copies are not kept, the log is the buffer. Goes on at drain. */
  #pause(): void {
    this.#loop = undefined;
    this.#ahead = [];
  }

  /** The pages reached the target: go live if what came meanwhile joins on. */
  #meetLive(): boolean {
    if (this.#announcement !== undefined) this.#announce(this.#announcement);
    const ahead = this.#ahead.filter((entry) => entry.index > this.#position);
    this.#ahead = [];
    const first = ahead[0];
    if (first === undefined ? this.#liveHead > this.#position : !follows(first, this.#position)) return false;
    this.#mode = "live";
    this.#loop = undefined; // before what follows: it may have to start the next one
    this.#o.metrics.catchUp.dec();
    for (const entry of ahead)
      this.onLive(entry, (live, previousId) => withIndexes(live.bytes, live.index, previousId));
    return true;
  }

  #announce(id: string): void {
    this.#announcement = undefined;
    this.#withOwn = false;
    this.#o.socket.send(
      encodeStanza(
        "signal",
        create(SignalSchema, {
          id,
          type: SignalType.RESPONSE,
          status: SignalStatus.RESUME,
          monotonicId: BigInt(this.#position),
          timestamp: BigInt(Date.now()),
        }),
      ),
    );
  }

  #hand(index: number, bytes: Uint8Array, encode: () => Uint8Array): void {
    this.#position = index;
    if (isFrom(bytes, this.#o.identityPrefix) && !this.#withOwn) {
      this.#told = index; // its own copy: SENT's log_id told it
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
