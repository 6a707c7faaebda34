import { type Awareness, AwarenessStatus, AwarenessType, type Body, type Stanza } from "@bimip/protocol";

/** `Body.route` of a snapshot, or of its last part: whoever is not in it is not visible. */
const SNAPSHOT_ROUTE = 9n;
/** `Body.route` of the other parts of a snapshot that is too long for one. */
const PART_ROUTE = 10n;

/** What a device knows of a user's presence. */
export interface Shown {
  /** AwarenessStatus, 1 to 5; 0 = only a type-2 status was told so far. */
  readonly status: number;
  /** Of the last type 1: the device that leads, its node, words, last seen in epoch milliseconds, seconds left. */
  readonly device: string;
  readonly node: string;
  readonly details: string;
  readonly timestamp: number;
  readonly ttl: number;
  /** The type-2 status, 0 = none; ends at `activityUntilMs` (Date.now), 0 = never. */
  readonly activity: number;
  readonly activityUntilMs: number;
}

const NOTHING: Shown = {
  status: 0,
  device: "",
  node: "",
  details: "",
  timestamp: 0,
  ttl: 0,
  activity: 0,
  activityUntilMs: 0,
};

/** What a client makes of the awareness that it is told: snapshots and changes, in the order in which they came. */
export class Picture {
  /** All that was told to everybody, snapshots included; oldest first. */
  readonly told: Awareness[] = [];
  /** What was for this user alone; oldest first. */
  readonly directed: Awareness[] = [];
  /** Snapshots that came. */
  snapshots = 0;
  readonly #shown = new Map<string, Shown>();
  /** Of a snapshot that is not complete yet. */
  readonly #parts: Awareness[] = [];

  take({ kind, value }: Stanza): void {
    if (kind === "awareness") this.#change(value);
    else if (kind === "body") this.#body(value);
  }

  of(eid: string): Shown | undefined {
    return this.#shown.get(eid);
  }

  get eids(): string[] {
    return [...this.#shown.keys()];
  }

  /** The type-2 status that holds at this moment, 0 = none. */
  activityOf(eid: string): number {
    const { activity, activityUntilMs } = this.#shown.get(eid) ?? NOTHING;
    return activityUntilMs === 0 || Date.now() < activityUntilMs ? activity : 0;
  }

  /** The type-1 statuses told of a user, without repetitions. */
  statusesOf(eid: string): number[] {
    return this.told
      .filter(({ from, type }) => from?.eid === eid && type === AwarenessType.PRESENCE)
      .map(({ status }) => status)
      .filter((status, at, all) => status !== all[at - 1]);
  }

  #body({ route, awarenessList }: Body): void {
    if (route === PART_ROUTE) return void this.#parts.push(...awarenessList);
    if (route === SNAPSHOT_ROUTE) {
      this.snapshots++;
      this.#shown.clear();
    }
    for (const awareness of [...this.#parts.splice(0), ...awarenessList]) this.#change(awareness);
  }

  #change(awareness: Awareness): void {
    const { from, to, type, status, details, timestamp, ttl } = awareness;
    if (to !== undefined) return void this.directed.push(awareness);
    this.told.push(awareness);
    const eid = from?.eid ?? "";
    const before = this.#shown.get(eid) ?? NOTHING;
    if (type === AwarenessType.STATUS) {
      const activityUntilMs = ttl === 0 ? 0 : Date.now() + ttl * 1_000;
      this.#shown.set(eid, { ...before, activity: status, activityUntilMs });
      return;
    }
    // ONLINE says that nothing special holds, OFFLINE that nothing does.
    const ends = status === AwarenessStatus.ONLINE || status === AwarenessStatus.OFFLINE;
    const activity = ends ? { activity: 0, activityUntilMs: 0 } : {};
    const leader = { device: from?.connectionResourceId ?? "", node: from?.node ?? "" };
    this.#shown.set(eid, { ...before, ...activity, ...leader, status, details, timestamp: Number(timestamp), ttl });
  }
}
