/**
 * What one user has with another, of their own doing. asked: not answered yet. A follower sees who is public at once, others
 * when accepted; a contact is mutual. `followsAskedContact`: an accepted follower who asked to be a contact.
 */
export type ContactSide = "none" | "askedFollow" | "follows" | "askedContact" | "followsAskedContact" | "contact";

/** What stands between two users, as one of them sees it. */
export interface ContactState {
  readonly own: ContactSide;
  readonly other: ContactSide;
  /** `eid` blocks `peer`. */
  readonly blocks: boolean;
  readonly blockedBy: boolean;
}

/** A request that waits for its answer. */
export interface PendingRequest {
  readonly trackingId: string;
  readonly details: string;
  /** Epoch milliseconds. */
  readonly atMs: number;
}

/**
 * What the awareness bucket holds for a pair, twice: under each of the two, as that one sees it. Both are written at once; JSON.
 */
export interface ContactRecord extends ContactState {
  readonly eid: string;
  readonly peer: string;
  /** How exactly `eid` lets `peer` know where they are, metres: 0 = exactly, -1 = not at all. */
  readonly precisionM: number;
  /** How exactly `peer` lets `eid` know. */
  readonly otherPrecisionM: number;
  /** Of `eid`, while `own` is asked. */
  readonly request: PendingRequest | null;
  /** Of `peer`, while `other` is asked. */
  readonly otherRequest: PendingRequest | null;
  /** The AwarenessContact that each was told of the last change, base64: told again by others should `by` not live to; "" = none. */
  readonly told: string;
  readonly otherTold: string;
  /** Before the last change: who saw whom then, and does not now, is told. */
  readonly before: ContactState;
  /** Since when it stood so, epoch milliseconds. */
  readonly beforeAtMs: number;
  /** Epoch milliseconds of the last change. */
  readonly atMs: number;
  /** The replica of awareness that wrote this: it tells the two. */
  readonly by: string;
}
