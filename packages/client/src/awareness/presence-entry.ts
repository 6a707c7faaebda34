import { type Awareness, AwarenessStatus, AwarenessType, LocationSharing } from "@bimip/protocol";
import { type CustomStatus, type LastPlace, type Presence, statusOf } from "./presence.js";

/** What was told by one Awareness. */
interface Told {
  readonly status: number;
  readonly details: string;
  /** Epoch milliseconds by the server's clock; 0 = not said. */
  readonly atMs: number;
  /** When it ends, epoch milliseconds by our clock; Infinity = never. */
  readonly untilMs: number;
}

/** A directed one that says: nothing any more. */
interface Ended {
  readonly status: 0;
  readonly untilMs: number;
}

/** What everybody was told, and over it what we alone were told since. */
interface Layers<Over> {
  base: Told | undefined;
  directed: Over | undefined;
}

/** `ttl` is told in whole seconds, and takes its time to come: that much is no difference. Milliseconds. */
const UNTIL_TOLERANCE_MS = 2_000;
const MAX_DATE_MS = 8.64e15;

/** What is known of one user, from which their Presence is made. */
export class PresenceEntry {
  readonly #eid: string;
  readonly #presence: Layers<Told> = { base: undefined, directed: undefined };
  readonly #custom: Layers<Told | Ended> = { base: undefined, directed: undefined };
  location: LastPlace | undefined;

  constructor(eid: string) {
    this.#eid = eid;
  }

  /** When the next of it ends, epoch milliseconds; Infinity = never. */
  get nextEndMs(): number {
    const told = [this.#presence.base, this.#presence.directed, this.#custom.base, this.#custom.directed];
    return Math.min(...told.map((one) => one?.untilMs ?? Number.POSITIVE_INFINITY));
  }

  /** Takes what was told; of a type or status that is none, nothing. */
  take(awareness: Awareness, nowMs: number): void {
    const { type, status, details, timestamp, ttl, to } = awareness;
    if (status < 1 || (type !== AwarenessType.PRESENCE && type !== AwarenessType.STATUS)) return;
    const untilMs = ttl > 0 ? nowMs + ttl * 1_000 : Number.POSITIVE_INFINITY;
    const told: Told = { status, details, atMs: Number(timestamp), untilMs };
    const isDirected = to !== undefined && to.eid !== "";
    const layers = type === AwarenessType.PRESENCE ? this.#presence : this.#custom;
    layers.directed = isDirected ? told : undefined;
    if (!isDirected) layers.base = told;
    if (type !== AwarenessType.PRESENCE) return;
    const custom = this.#custom;
    if (!isDirected && custom.directed?.status === 0) custom.directed = undefined;
    // ONLINE ends a type 2; one that is for us alone ends it for us alone, as long as it holds.
    if (status === AwarenessStatus.ONLINE) {
      custom.directed = isDirected ? { status: 0, untilMs } : undefined;
      if (!isDirected) custom.base = undefined;
    }
    if (status !== AwarenessStatus.OFFLINE) {
      this.location = placeOf(awareness, nowMs) ?? this.location;
      return;
    }
    this.location = undefined;
    // Whoever is gone has no status to be seen; it is told again when they are back.
    if (!isDirected) custom.base = custom.directed = undefined;
  }

  /** What has ended by itself ends. */
  expire(nowMs: number): void {
    const [presence, custom] = [this.#presence, this.#custom];
    if (hasEnded(presence.directed, nowMs)) presence.directed = undefined;
    if (hasEnded(custom.directed, nowMs)) custom.directed = undefined;
    if (hasEnded(custom.base, nowMs)) custom.base = undefined;
    if (hasEnded(presence.base, nowMs)) {
      const { untilMs } = presence.base;
      presence.base = {
        status: AwarenessStatus.ONLINE,
        details: "",
        atMs: untilMs,
        untilMs: Number.POSITIVE_INFINITY,
      };
    }
  }

  /** Undefined: nothing is known. */
  shown(): Presence | undefined {
    const presence = this.#presence.directed ?? this.#presence.base;
    const custom = this.#custom.directed ?? this.#custom.base;
    const isCustom = custom !== undefined && "details" in custom;
    if (presence === undefined && !isCustom) return undefined;
    // Whoever has a status and nothing else is there: so the server tells us of ourselves.
    const { status, details, atMs, untilMs } = presence ?? ONLINE;
    const isOffline = status === AwarenessStatus.OFFLINE;
    return {
      eid: this.#eid,
      status: statusOf(status),
      details,
      ...(isTime(atMs) && { [isOffline ? "lastSeen" : "since"]: new Date(atMs) }),
      ...untilOf(untilMs),
      ...(isCustom && { custom: { status: custom.status, details: custom.details, ...untilOf(custom.untilMs) } }),
      ...(this.location !== undefined && { location: this.location }),
    };
  }
}

const ONLINE: Told = {
  status: AwarenessStatus.ONLINE,
  details: "",
  atMs: 0,
  untilMs: Number.POSITIVE_INFINITY,
};

/** The coordinates of an Awareness, where it has some. */
export function placeOf(awareness: Awareness, nowMs: number): LastPlace | undefined {
  const { locationSharing, latitude, longitude, timestamp } = awareness;
  if (locationSharing !== LocationSharing.ON) return undefined;
  return { latitude, longitude, at: timeOf(timestamp, nowMs) };
}

/** A stanza's timestamp, or where it is none `otherwiseMs`. */
export function timeOf(timestamp: bigint, otherwiseMs: number): Date {
  return new Date(isTime(Number(timestamp)) ? Number(timestamp) : otherwiseMs);
}

/** Something that a Date can hold, and not 0, which says nothing. */
function isTime(ms: number): boolean {
  return ms > 0 && ms <= MAX_DATE_MS;
}

/** true if nobody who watches would notice a difference. `since` alone is none. */
export function looksSame(a: Presence | undefined, b: Presence | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.status === b.status &&
    a.details === b.details &&
    isSameEnd(a.until, b.until) &&
    a.lastSeen?.getTime() === b.lastSeen?.getTime() &&
    isSameCustom(a.custom, b.custom) &&
    isSamePlace(a.location, b.location)
  );
}

function isSameCustom(a: CustomStatus | undefined, b: CustomStatus | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.status === b.status && a.details === b.details && isSameEnd(a.until, b.until);
}

function isSamePlace(a: LastPlace | undefined, b: LastPlace | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.latitude === b.latitude &&
    a.longitude === b.longitude &&
    a.altitude === b.altitude &&
    a.at.getTime() === b.at.getTime()
  );
}

function isSameEnd(a: Date | undefined, b: Date | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return Math.abs(a.getTime() - b.getTime()) <= UNTIL_TOLERANCE_MS;
}

function hasEnded<T extends { readonly untilMs: number }>(told: T | undefined, nowMs: number): told is T {
  return told !== undefined && told.untilMs <= nowMs;
}

function untilOf(untilMs: number): { readonly until?: Date } {
  return Number.isFinite(untilMs) ? { until: new Date(untilMs) } : {};
}
