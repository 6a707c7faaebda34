import {
  type Awareness,
  AwarenessSchema,
  AwarenessStatus,
  AwarenessType,
  type Identity,
  type LocationStream,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import type { LocationChange, Presence, PresenceChange } from "./presence.js";
import { looksSame, placeOf, PresenceEntry, timeOf } from "./presence-entry.js";

export interface PresenceStoreOptions {
  /** The account; "" = not known. */
  readonly ownEid: () => string;
  readonly onChange: (change: PresenceChange) => void;
  readonly onLocation: (location: LocationChange) => void;
}

/** Longer ones would run at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** What is known of others' presence, and who is told when it differs. */
export class PresenceStore {
  readonly #o: PresenceStoreOptions;
  #entries = new Map<string, PresenceEntry>();
  readonly #shown = new Map<string, Presence>();
  /** When the next of an entry ends, of those that end. */
  readonly #ends = new Map<string, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #live = false;
  #ended = false;

  constructor(options: PresenceStoreOptions) {
    this.#o = options;
  }

  get live(): boolean {
    return this.#live;
  }

  get all(): ReadonlyMap<string, Presence> {
    return this.#shown;
  }

  get(eid: string): Presence | undefined {
    return this.#shown.get(eid);
  }

  /** Changes that came together: whoever watches is told of each user once. */
  take(changes: readonly Awareness[]): void {
    const nowMs = Date.now();
    const eids = new Set<string>();
    for (const awareness of changes) {
      const eid = awareness.from?.eid ?? "";
      if (eid === "") continue;
      eids.add(eid);
      this.#entryOf(eid).take(awareness, nowMs);
      this.#tellPlace(awareness, nowMs);
    }
    for (const eid of eids) this.#update(eid);
    this.#arm();
  }

  /** All that can be known now: it takes the place of everything before. */
  snapshot(awarenessList: readonly Awareness[]): void {
    const nowMs = Date.now();
    const before = this.#entries;
    this.#entries = new Map();
    for (const awareness of awarenessList) {
      const eid = awareness.from?.eid ?? "";
      if (eid !== "") this.#entryOf(eid).take(awareness, nowMs);
    }
    const own = this.#o.ownEid();
    // Of ourselves the server tells nothing but a status: we are there.
    if (before.has(own) && !this.#entries.has(own)) this.#entryOf(own).take(onlineOf(own), nowMs);
    for (const [eid, entry] of this.#entries) {
      // Positions are told once only. Whoever is offline has none.
      if (entry.shown()?.status !== "offline") entry.location ??= before.get(eid)?.location;
    }
    this.#live = true;
    for (const eid of new Set([...before.keys(), ...this.#entries.keys()])) this.#update(eid);
    this.#arm();
  }

  /** A position; of somebody who may not be seen it is told, but not kept. */
  locate({ from, latitude, longitude, altitude, timestamp }: LocationStream): void {
    const eid = from?.eid ?? "";
    if (eid === "") return;
    const at = timeOf(timestamp, Date.now());
    const place = { latitude, longitude, ...(altitude !== undefined && { altitude }), at };
    const entry = this.#entries.get(eid);
    if (entry !== undefined) {
      entry.location = place;
      this.#keep(eid, entry.shown());
    }
    this.#o.onLocation({ eid, ...deviceOf(from), ...place });
  }

  /** There is a connection; what was known before waits for its snapshot. */
  open(): void {
    this.#ended = false;
  }

  /** What is known stays, but is not kept up to date any more. */
  interrupt(): void {
    this.#live = false;
  }

  /** Nothing comes any more: what is known stays as it is. */
  end(): void {
    this.#live = false;
    this.#ended = true;
    clearTimeout(this.#timer);
  }

  #entryOf(eid: string): PresenceEntry {
    let entry = this.#entries.get(eid);
    if (entry === undefined) this.#entries.set(eid, (entry = new PresenceEntry(eid)));
    return entry;
  }

  #tellPlace(awareness: Awareness, nowMs: number): void {
    const place = placeOf(awareness, nowMs);
    const eid = awareness.from?.eid ?? "";
    if (place !== undefined) this.#o.onLocation({ eid, ...deviceOf(awareness.from), ...place });
  }

  /** Shows what is known of a user now. */
  #update(eid: string): void {
    const entry = this.#entries.get(eid);
    const presence = entry?.shown();
    if (presence === undefined) this.#entries.delete(eid);
    const endMs = entry?.nextEndMs ?? Number.POSITIVE_INFINITY;
    if (Number.isFinite(endMs)) this.#ends.set(eid, endMs);
    else this.#ends.delete(eid);
    const before = this.#shown.get(eid);
    this.#keep(eid, presence);
    if (!looksSame(before, presence)) this.#o.onChange({ eid, presence, before });
  }

  #keep(eid: string, presence: Presence | undefined): void {
    if (presence === undefined) this.#shown.delete(eid);
    else this.#shown.set(eid, presence);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    // A handler may have closed the client.
    if (this.#ends.size === 0 || this.#ended) return;
    let nextMs = Number.POSITIVE_INFINITY;
    for (const endMs of this.#ends.values()) nextMs = Math.min(nextMs, endMs);
    const waitMs = nextMs - Date.now();
    this.#timer = setTimeout(() => this.#expire(), Math.min(Math.max(waitMs, 0), MAX_TIMEOUT_MS));
  }

  #expire(): void {
    const nowMs = Date.now();
    for (const [eid, endMs] of this.#ends) {
      if (endMs > nowMs) continue;
      this.#entries.get(eid)?.expire(nowMs);
      this.#update(eid);
    }
    this.#arm();
  }
}

function deviceOf(from: Identity | undefined): { readonly device?: string } {
  return from?.connectionResourceId === undefined ? {} : { device: from.connectionResourceId };
}

function onlineOf(eid: string): Awareness {
  return create(AwarenessSchema, {
    from: { eid },
    type: AwarenessType.PRESENCE,
    status: AwarenessStatus.ONLINE,
  });
}
