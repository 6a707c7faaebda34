import { setTimeout as delay } from "node:timers/promises";
import { call, type Link, PROCEDURES, jitteredStepMs } from "@bimip/nats";
import type { SessionAwareness } from "./session-awareness.js";

export interface SnapshotsOptions {
  readonly link: Link;
  /** A snapshot could not be read for the first time; it is tried again. */
  readonly onError: (error: unknown) => void;
}

/** After NATS's return, and when many connect, all sessions want one. */
const AT_ONCE = 64;
const TIMEOUT_MS = 2_000;
const RETRY_MS = [50, 100, 250, 500, 1_000, 2_000] as const;

/** Reads pages of snapshots for sessions, a few at a time, each until it is answered. */
export class Snapshots {
  readonly #o: SnapshotsOptions;
  #queue: SessionAwareness[] = [];
  #at = 0;
  #readers = 0;
  #stopped = false;

  constructor(options: SnapshotsOptions) {
    this.#o = options;
  }

  /** Has the session's next page read; it comes again for the one behind it. */
  add(awareness: SessionAwareness): void {
    if (this.#stopped) return;
    this.#queue.push(awareness);
    if (this.#readers >= AT_ONCE) return;
    this.#readers++;
    void this.#readAll();
  }

  stop(): void {
    this.#stopped = true;
    this.#queue = [];
    this.#at = 0;
  }

  async #readAll(): Promise<void> {
    for (let awareness = this.#next(); awareness !== undefined; awareness = this.#next()) {
      if (awareness.ended) continue;
      try {
        await this.#read(awareness);
      } catch (error) {
        if (awareness.failures === 0) this.#o.onError(error);
        const waitMs = jitteredStepMs(RETRY_MS, awareness.failures);
        awareness.failed();
        if (!this.#stopped) this.#queue.push(awareness);
        // The reader waits, not the session: while nobody answers, no more than these ask.
        await delay(waitMs);
      }
    }
    this.#readers--;
  }

  #next(): SessionAwareness | undefined {
    const next = this.#queue[this.#at++];
    if (next === undefined) {
      this.#queue = [];
      this.#at = 0;
    } else if (this.#at >= 1_024 && this.#at * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#at);
      this.#at = 0;
    }
    return next;
  }

  async #read(awareness: SessionAwareness): Promise<void> {
    const { link } = this.#o;
    const { needed, after } = awareness.startReading();
    if (!link.up) throw new Error("NATS is away");
    const request = { eid: awareness.eid, revision: BigInt(needed), after };
    awareness.arrived(await call(link.nc, PROCEDURES.snapshot, request, TIMEOUT_MS));
  }
}
