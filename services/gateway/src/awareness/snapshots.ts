import { setTimeout as delay } from "node:timers/promises";
import { call, type Link, PROCEDURES, stepMs } from "@bimip/nats";
import { encodePayload } from "@bimip/protocol";
import { encodeBodies } from "./bodies.js";
import { SNAPSHOT_ROUTE } from "./change.js";
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

/** Reads snapshots for sessions, a few at a time, each until it is answered. */
export class Snapshots {
  readonly #o: SnapshotsOptions;
  #queue: SessionAwareness[] = [];
  #at = 0;
  #readers = 0;
  #stopped = false;

  constructor(options: SnapshotsOptions) {
    this.#o = options;
  }

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
        const waitMs = stepMs(RETRY_MS, awareness.failures) * (0.5 + Math.random());
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
    const { eid } = awareness;
    if (!link.up) throw new Error("NATS is away");
    let needed = awareness.startReading();
    let floor = 0;
    let after = "";
    const entries: Uint8Array[] = [];
    const requests: Uint8Array[] = [];
    do {
      const page = await call(link.nc, PROCEDURES.snapshot, { eid, revision: BigInt(needed), after }, TIMEOUT_MS);
      if (awareness.ended) return;
      // Another replica may answer the next page: not with less than this one knew.
      needed = Math.max(needed, Number(page.revision));
      if (floor === 0) floor = needed;
      for (const entry of page.entries) entries.push(entry.awareness);
      if (awareness.repeatsRequests) requests.push(...page.requests);
      after = page.next;
    } while (after !== "");
    const frames = encodeBodies(SNAPSHOT_ROUTE, entries);
    for (const request of requests) frames.push(encodePayload("awarenessContact", request));
    awareness.arrived(frames, floor);
  }
}
