import type { ClientSocket } from "../ports.js";
import type { SharedBodies } from "./bodies.js";
import type { Change } from "./change.js";
import type { GatewayAwareness } from "./gateway-awareness.js";
import { HeldChanges } from "./held-changes.js";

/** Why a session gets a snapshot. */
export type SnapshotReason = "connect" | "slow" | "reconnect";

/** A slow socket gets a new snapshot no sooner after the last one. */
const SLOW_EVERY_MS = 1_000;

/**
 * What one device is told of the presence of others: first a snapshot, then changes. A change that a slow socket cannot take
 * is not kept; the device gets a new snapshot when it can.
 *
 * A snapshot is asked for at the highest revision that came for this session, so it is never older than what was told before.
 * What comes while it is being read waits and is told behind it, if it is not older.
 */
export class SessionAwareness {
  readonly eid: string;
  readonly #socket: ClientSocket;
  readonly #side: GatewayAwareness;
  /** Revision of the session's registration; 0 = not answered yet. */
  #epoch = 0;
  /** Revision of the last snapshot. */
  #floor = 0;
  /** Highest revision that came, whether it was told or not. */
  #seen = 0;
  /** A snapshot is wanted that is not being read yet. */
  #due: SnapshotReason | undefined;
  /** Why the one is read that is being read, or sent. */
  #reason: SnapshotReason | undefined;
  /** Times in a row that it could not be read. */
  #failures = 0;
  #snapshotAtMs = Number.NEGATIVE_INFINITY;
  #hasSnapshot = false;
  /** A change was not told. */
  #stale = false;
  /** The snapshot's frames that the socket did not take yet, last one first. */
  #outbox: Uint8Array[] | undefined;
  #held: HeldChanges | undefined;
  /** What came in this turn of the event loop. */
  #gathered: Change | Change[] | undefined;
  #onRegistered: (() => void)[] | undefined;
  #onWritable: (() => void)[] | undefined;
  #ended = false;

  constructor(side: GatewayAwareness, socket: ClientSocket, eid: string) {
    this.#side = side;
    this.#socket = socket;
    this.eid = eid;
  }

  get ended(): boolean {
    return this.#ended;
  }

  get failures(): number {
    return this.#failures;
  }

  /** The registry knows the session: now a snapshot can be read that tells what was true with it there. */
  begin(epoch: number): void {
    if (this.#ended || this.#epoch > 0) return;
    this.#epoch = epoch;
    resolveAll(this.#onRegistered);
    this.#onRegistered = undefined;
    this.want("connect");
  }

  /** Resolves once the session is registered, or has ended. */
  async registered(): Promise<void> {
    if (this.#epoch > 0 || this.#ended) return;
    await new Promise<void>((resolve) => {
      (this.#onRegistered ??= []).push(resolve);
    });
  }

  /** Resolves once the socket is not congested, or gone. */
  async writable(): Promise<void> {
    if (!this.#socket.congested || this.#ended) return;
    await new Promise<void>((resolve) => {
      (this.#onWritable ??= []).push(resolve);
    });
  }

  /** Has a new snapshot read, in turn. */
  want(reason: SnapshotReason): void {
    if (this.#ended || this.#epoch === 0) return;
    const isQueued = this.#due !== undefined;
    if (!isQueued || this.#due === "slow") this.#due = reason;
    if (isQueued) return;
    if (this.#reason === undefined) this.#queue();
  }

  /**
   * Changes up to this revision may have got lost.
   *
   * @param head of all that awareness keeps. Lower than what came before: that was lost, and the order begins anew
   */
  missed(head: number): void {
    if (head < this.#seen) this.#floor = 0;
    if (head < this.#epoch) this.#epoch = Math.max(head, 1);
    this.#seen = head;
    this.want("reconnect");
  }

  /** A change that is for this device, and not older than what it was told of that user. */
  take(change: Change): void {
    const { revision } = change;
    if (revision > 0) {
      if (revision < this.#floor) return this.#side.metrics.awarenessOld.inc();
      if (revision > this.#seen) this.#seen = revision;
    }
    if (!this.#hasSnapshot || this.#reason !== undefined) return this.#hold(change);
    if (this.#socket.congested) {
      this.#stale = true;
      return;
    }
    this.#gather(change);
  }

  /** Sends what came in this turn; answers with how many changes that were. */
  flush(bodies: SharedBodies): number {
    const gathered = this.#gathered;
    this.#gathered = undefined;
    if (gathered === undefined || this.#ended) return 0;
    if (this.#socket.congested) {
      this.#stale = true;
      return 0;
    }
    if (!Array.isArray(gathered)) {
      this.#socket.send(gathered.frame);
      return 1;
    }
    for (const frame of bodies.of(gathered)) this.#socket.send(frame);
    return gathered.length;
  }

  /** A frame that no snapshot would make up for. */
  send(frame: Uint8Array): void {
    this.#socket.send(frame);
  }

  /** A frame that is worth nothing later: a slow socket never gets it. True: sent. */
  sendLive(frame: Uint8Array): boolean {
    if (this.#socket.congested || this.#ended) return false;
    this.#socket.send(frame);
    return true;
  }

  /** The snapshot's turn has come; answers with the revision that it must have. */
  startReading(): number {
    // A try after one that failed still has what the first one was for.
    if (this.#reason === undefined || this.#reason === "slow") this.#reason = this.#due ?? this.#reason ?? "connect";
    this.#due = undefined;
    this.#stale = false;
    return Math.max(this.#epoch, this.#seen);
  }

  /** It could not be read, and will be tried again. */
  failed(): void {
    this.#failures++;
  }

  /** @param frames of the snapshot, in order */
  arrived(frames: readonly Uint8Array[], revision: number): void {
    if (this.#ended || this.#reason === undefined) return;
    this.#side.metrics.snapshots.inc({ reason: this.#reason });
    this.#failures = 0;
    this.#snapshotAtMs = performance.now();
    this.#floor = revision;
    this.#outbox = frames.toReversed();
    this.#sendSnapshot(this.#outbox);
  }

  /** Requests of others are repeated to who may have missed them: contacts' stanzas are sent to slow sockets too. */
  get repeatsRequests(): boolean {
    return this.#reason !== "slow";
  }

  /** The socket takes bytes again. */
  onDrain(): void {
    resolveAll(this.#onWritable);
    this.#onWritable = undefined;
    if (this.#outbox !== undefined) this.#sendSnapshot(this.#outbox);
    else if (this.#stale) this.want("slow");
  }

  end(): void {
    this.#ended = true;
    this.#outbox = undefined;
    this.#held = undefined;
    this.#gathered = undefined;
    resolveAll(this.#onRegistered);
    resolveAll(this.#onWritable);
    this.#onRegistered = undefined;
    this.#onWritable = undefined;
  }

  /** As far as the socket takes it; the rest waits for its drain. */
  #sendSnapshot(outbox: Uint8Array[]): void {
    while (!this.#socket.congested) {
      const frame = outbox.pop();
      if (frame === undefined) return this.#snapshotSent();
      this.#socket.send(frame);
    }
  }

  #snapshotSent(): void {
    const held = this.#held;
    this.#outbox = undefined;
    this.#held = undefined;
    this.#reason = undefined;
    this.#hasSnapshot = true;
    for (const change of held?.all() ?? []) {
      if (change.revision === 0 || change.revision >= this.#floor) this.#gather(change);
      else this.#side.metrics.awarenessOld.inc();
    }
    if (this.#due !== undefined) this.#queue();
    else if (this.#stale) this.want("slow");
  }

  #queue(): void {
    const waitMs = this.#due === "slow" ? this.#snapshotAtMs + SLOW_EVERY_MS - performance.now() : 0;
    if (waitMs <= 0) this.#side.snapshots.add(this);
    else setTimeout(() => this.#side.snapshots.add(this), waitMs).unref();
  }

  #hold(change: Change): void {
    this.#held ??= new HeldChanges();
    if (this.#held.add(change)) return;
    this.#held = undefined;
    this.#stale = true;
  }

  #gather(change: Change): void {
    const gathered = this.#gathered;
    if (Array.isArray(gathered)) gathered.push(change);
    else if (gathered !== undefined) this.#gathered = [gathered, change];
    else {
      this.#gathered = change;
      this.#side.fanouts.flushLater(this);
    }
  }
}

function resolveAll(waiting: readonly (() => void)[] | undefined): void {
  if (waiting !== undefined) for (const resolve of waiting) resolve();
}
