import type { BimipError } from "@bimip/protocol";

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

/** A stanza that the outbox takes. */
export interface OutboxItem {
  readonly kind: "message" | "pushNotification";
  readonly id: string;
  /** The recipient. */
  readonly eid: string;
  readonly frame: Uint8Array;
}

export interface OutboxEntry extends OutboxItem {
  /** Place in the order of `send` calls. */
  readonly order: number;
  /** false while the store still writes it: it is not sent yet. */
  kept: boolean;
  /** It was sent at least once: unanswered, it may be stored. */
  wasSent: boolean;
  readonly promise: Promise<Sent>;
  readonly resolve: (sent: Sent) => void;
  readonly reject: (error: BimipError) => void;
}

/** @param order place in the order of `send` calls */
export function createEntry(item: OutboxItem, order: number): OutboxEntry {
  let resolve!: (sent: Sent) => void;
  let reject!: (error: BimipError) => void;
  const promise = new Promise<Sent>((onSent, onError) => {
    resolve = onSent;
    reject = onError;
  });
  return { ...item, order, kept: false, wasSent: false, promise, resolve, reject };
}
