import type { SnapshotResponse } from "@bimip/protocol";
import type { ClientSocket } from "../ports.js";
import type { SharedBodies } from "./bodies.js";
import type { Change } from "./change.js";
import type { GatewayAwareness } from "./gateway-awareness.js";
import { HeldChanges } from "./held-changes.js";
import { SnapshotReading, type SnapshotReason } from "./snapshot-reading.js";
import { Waiting } from "./waiting.js";

/** A slow socket gets a new snapshot no sooner after the last one. */
const SLOW_EVERY_MS = 1_000;
/** What comes later than this after the snapshot that makes it old is not known any more to be old. */
const REMEMBER_MS = 20_000;

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
  /** Revision of the last snapshot's first page. */
  #floor = 0;
  /** By user: revision of the further page that told of them, where it is a higher one. */
  #floors: Map<string, number> | undefined;
  /** Highest revision that came, whether it was told or not. */
  #seen = 0;
  /** A snapshot is wanted that is not being read yet. */
  #due: SnapshotReason | undefined;
  /** The one that is being read, or sent. */
  #reading: SnapshotReading | undefined;
  #snapshotAtMs = Number.NEGATIVE_INFINITY;
  #hasSnapshot = false;
  /** A change was not told. */
  #stale = false;
  #held: HeldChanges | undefined;
  /** What came in this turn of the event loop. */
  #gathered: Change | Change[] | undefined;
  #unregistered: Waiting | undefined;
  #unwritable: Waiting | undefined;
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
    return this.#reading?.failures ?? 0;
  }

  /** The socket does not take what is sent at once. */
  get congested(): boolean {
    return this.#socket.congested;
  }

  /** The registry knows the session: now a snapshot can be read that tells what was true with it there. */
  begin(epoch: number): void {
    if (this.#ended || this.#epoch > 0) return;
    this.#epoch = epoch;
    this.#unregistered?.resolve();
    this.#unregistered = undefined;
    this.want("connect");
  }

  /** The session was taken for ended, and is registered again: what was told meanwhile was not told here. */
  renew(epoch: number): void {
    if (this.#epoch === 0) return;
    this.#epoch = Math.max(this.#epoch, epoch);
    this.want("reconnect");
  }

  /**
   * Resolves with true once the session is registered, or has ended; with false if it was not until then.
   *
   * @param untilMs performance.now; absent: for as long as it takes
   */
  async registered(untilMs?: number): Promise<boolean> {
    if (this.#epoch > 0 || this.#ended) return true;
    this.#unregistered ??= new Waiting();
    return this.#unregistered.until(untilMs);
  }

  /**
   * Resolves with true once the socket is not congested, or gone; with false if it was until then.
   *
   * @param untilMs performance.now
   */
  async writable(untilMs: number): Promise<boolean> {
    if (!this.#socket.congested || this.#ended) return true;
    this.#unwritable ??= new Waiting();
    return this.#unwritable.until(untilMs);
  }

  /** Has a new snapshot read, in turn. */
  want(reason: SnapshotReason): void {
    if (this.#ended || this.#epoch === 0) return;
    const isQueued = this.#due !== undefined;
    if (!isQueued || this.#due === "slow") this.#due = reason;
    if (isQueued) return;
    if (this.#reading === undefined) this.#queue();
  }

  /** Changes up to this revision may have got lost. */
  missed(head: number): void {
    this.#seen = Math.max(this.#seen, head);
    this.want("reconnect");
  }

  /** The order of revisions begins anew: no revision that came before says anything. */
  restart(): void {
    this.#floor = 0;
    this.#floors = undefined;
    this.#seen = 0;
    this.#epoch = Math.min(this.#epoch, 1);
    this.#held?.dropNumbered();
    if (this.#reading !== undefined) this.#reading.needed = 0;
  }

  /** A change that is for this device, and not older than what it was told of that user. */
  take(change: Change): void {
    const { revision } = change;
    if (revision > 0) {
      if (revision < this.#floor) return this.#side.metrics.awarenessOld.inc();
      if (revision > this.#seen) this.#seen = revision;
    }
    if (!this.#hasSnapshot || this.#reading !== undefined) return this.#hold(change);
    this.#tell(change);
  }

  /** Sends what came in this turn; answers with how many changes that were. */
  flush(bodies: SharedBodies): number {
    const gathered = this.#gathered;
    this.#gathered = undefined;
    if (gathered === undefined || this.#ended) return 0;
    if (this.#socket.congested) {
      for (const change of Array.isArray(gathered) ? gathered : [gathered]) this.#drop(change);
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

  /** The turn of the snapshot's next page has come; answers with the revision that it must have, and where it begins. */
  startReading(): { readonly needed: number; readonly after: string } {
    const reading = (this.#reading ??= new SnapshotReading(this.#due ?? "connect"));
    if (reading.isFresh) {
      // A try after one that failed still has what the first one was for.
      if (reading.reason === "slow") reading.reason = this.#due ?? "slow";
      this.#due = undefined;
      this.#stale = false;
      reading.needed = Math.max(this.#epoch, this.#seen);
    }
    return reading;
  }

  /** It could not be read, and will be tried again. */
  failed(): void {
    if (this.#reading !== undefined) this.#reading.failures++;
  }

  /** A page. One below the revision that was asked for: awareness lost what it kept, and the order begins anew. */
  arrived(page: SnapshotResponse): void {
    const reading = this.#reading;
    if (this.#ended || reading === undefined) return;
    const revision = Number(page.revision);
    if (revision < reading.needed) this.#side.onAnew();
    if (reading.isFresh) {
      this.#floor = revision;
      this.#floors = undefined;
    } else this.#noteFloors(page, revision);
    // Another replica may answer the next page: not with less than this one knew.
    reading.needed = Math.max(reading.needed, revision);
    reading.failures = 0;
    this.#snapshotAtMs = performance.now();
    reading.add(page);
    this.#sendPage(reading);
  }

  /** The socket takes bytes again. */
  onDrain(): void {
    this.#unwritable?.resolve();
    this.#unwritable = undefined;
    if (this.#reading?.isSending === true) this.#sendPage(this.#reading);
    else if (this.#stale) this.want("slow");
  }

  end(): void {
    this.#ended = true;
    this.#reading = undefined;
    this.#held = undefined;
    this.#floors = undefined;
    this.#gathered = undefined;
    this.#unregistered?.resolve();
    this.#unwritable?.resolve();
  }

  /** Of those whom a further page tells of, what came before that page is old. */
  #noteFloors({ entries }: SnapshotResponse, revision: number): void {
    if (revision <= this.#floor) return;
    if (this.#floors === undefined) {
      const floors = (this.#floors = new Map<string, number>());
      setTimeout(() => {
        if (this.#floors === floors) this.#floors = undefined;
      }, REMEMBER_MS).unref();
    }
    for (const { eid } of entries) this.#floors.set(eid, revision);
  }

  /** As far as the socket takes it; the rest, and the next page, wait for its drain. */
  #sendPage(reading: SnapshotReading): void {
    while (!this.#socket.congested) {
      const frame = reading.next();
      if (frame !== undefined) this.#socket.send(frame);
      else if (reading.after === "") return this.#snapshotSent(reading);
      else return this.#side.snapshots.add(this);
    }
  }

  #snapshotSent({ reason }: SnapshotReading): void {
    this.#side.metrics.snapshots.inc({ reason });
    const held = this.#held;
    this.#held = undefined;
    this.#reading = undefined;
    this.#hasSnapshot = true;
    for (const change of held?.all() ?? []) this.#tell(change);
    if (this.#due !== undefined) this.#queue();
    else if (this.#stale) this.want("slow");
  }

  #tell(change: Change): void {
    const { about, revision } = change;
    if (revision > 0 && revision < Math.max(this.#floor, this.#floors?.get(about) ?? 0)) {
      return this.#side.metrics.awarenessOld.inc();
    }
    if (this.#socket.congested) this.#drop(change);
    else this.#gather(change);
  }

  /** A new snapshot makes up for it, unless it was for this user alone: that is worth nothing later. */
  #drop({ revision }: Change): void {
    if (revision > 0) this.#stale = true;
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
