import { BODY_ROUTE, encodePayload, type SnapshotResponse } from "@bimip/protocol";
import { encodeBodies } from "./bodies.js";

/** Why a session gets a snapshot. */
export type SnapshotReason = "connect" | "slow" | "reconnect";

const PART = { last: BODY_ROUTE.snapshotPart, before: BODY_ROUTE.snapshotPart };
const END = { last: BODY_ROUTE.snapshot, before: BODY_ROUTE.snapshotPart };

/** A snapshot on its way to one device: page by page, the next one is asked for when the socket took the one before. */
export class SnapshotReading {
  reason: SnapshotReason;
  /** Times in a row that a page could not be read. */
  failures = 0;
  /** Nothing was sent of it. */
  isFresh = true;
  /** Revision that the page under way must have; 0 = any. */
  needed = 0;
  /** The next page follows behind this contact; empty: the first one, or, once that came, none. */
  after = "";
  /** A page came that was not sent to its end yet. */
  isSending = false;
  /** Frames of a page that the socket did not take yet, last one first. */
  readonly #outbox: Uint8Array[] = [];

  constructor(reason: SnapshotReason) {
    this.reason = reason;
  }

  add({ entries, next, requests }: SnapshotResponse): void {
    const bodies = encodeBodies(
      next === "" ? END : PART,
      entries.map(({ awareness }) => awareness),
    );
    // Requests of others are repeated to who may have missed them: contacts' stanzas are sent to slow sockets too.
    const repeated = this.reason === "slow" ? [] : requests;
    this.#outbox.push(...bodies, ...repeated.map((request) => encodePayload("awarenessContact", request)));
    this.#outbox.reverse();
    this.isFresh = false;
    this.isSending = true;
    this.after = next;
  }

  /** The next frame to be sent; undefined: that was the page. */
  next(): Uint8Array | undefined {
    const frame = this.#outbox.pop();
    this.isSending = frame !== undefined;
    return frame;
  }
}
