import type { SessionRecord } from "@bimip/nats";
import { AwarenessStatus } from "@bimip/protocol";
import { DEFAULT_VISIBILITY, type UserRecord } from "./user-record.js";
import { type LastSeen, NEVER_SEEN, type Visible, visibleOf } from "./visible.js";

/** A value of the awareness bucket and the revision that a write must name. */
export interface Revised<T> {
  readonly record: T;
  readonly revision: number;
}

interface User {
  /** Online, or within their grace period. */
  readonly sessions: Map<string, Revised<SessionRecord>>;
  lastSeen: LastSeen;
  settings: Revised<UserRecord> | undefined;
  /** Who could see the user until a moment ago; undefined = whoever can now. */
  wider: { readonly visibility: number; readonly untilMs: number; readonly narrowedAtMs: number } | undefined;
}

/** In this time whoever narrowed their visibility is told of as hidden. */
const WIDER_MS = 10_000;

/** How a user's presence was, and is. */
export interface Change {
  readonly eid: string;
  readonly before: Visible;
  readonly after: Visible;
}

/** Sessions and users as the awareness bucket has them, in memory: some 0.3 KiB for each user ever seen. */
export class Directory {
  readonly #users = new Map<string, User>();
  readonly #byGateway = new Map<string, Map<string, SessionRecord>>();

  /** @param key of the record in the bucket */
  applySession(key: string, record: SessionRecord, revision: number): Change {
    const { eid, device } = record;
    const user = this.#user(eid);
    const before = visible(user);
    this.#forgetHeld(key, user.sessions.get(device)?.record);
    if (record.state === "gone") {
      user.sessions.delete(device);
      const lastSeen = lastSeenOf(record);
      if (lastSeen.atMs >= user.lastSeen.atMs) user.lastSeen = lastSeen;
    } else {
      user.sessions.set(device, { record, revision });
      if (record.state === "online") this.#hold(key, record);
    }
    return changeOf(eid, user, before);
  }

  applyUser(record: UserRecord, revision: number): Change {
    const user = this.#user(record.eid);
    const before = visible(user);
    user.settings = { record, revision };
    return changeOf(record.eid, user, before);
  }

  visible(eid: string): Visible {
    return visible(this.#users.get(eid));
  }

  /**
   * The widest visibility that somebody may know the user under: as it is, or was a moment ago.
   *
   * @param sinceMs epoch milliseconds: what they have with the user they have since then
   */
  widest(eid: string, sinceMs: number): number {
    const user = this.#users.get(eid);
    const { visibility } = visible(user);
    const wider = user?.wider;
    return wider === undefined || wider.untilMs < performance.now() || sinceMs > wider.narrowedAtMs
      ? visibility
      : Math.min(wider.visibility, visibility);
  }

  session(eid: string, device: string): Revised<SessionRecord> | undefined {
    return this.#users.get(eid)?.sessions.get(device);
  }

  openSessionsOf(eid: string): SessionRecord[] {
    return [...records(this.#users.get(eid))].filter(({ state }) => state === "online");
  }

  settings(eid: string): Revised<UserRecord> | undefined {
    return this.#users.get(eid)?.settings;
  }

  /** The gateways that hold a device of this user, each once. */
  gatewaysOf(eid: string): readonly string[] {
    const sessions = this.#users.get(eid)?.sessions;
    if (sessions === undefined) return [];
    const gateways: string[] = [];
    for (const { record } of sessions.values()) {
      if (record.state === "online" && !gateways.includes(record.gateway)) gateways.push(record.gateway);
    }
    return gateways;
  }

  /** Gateways that hold sessions. */
  gateways(): Iterable<string> {
    return this.#byGateway.keys();
  }

  sessionsOn(gateway: string): SessionRecord[] {
    return [...(this.#byGateway.get(gateway)?.values() ?? [])];
  }

  get userCount(): number {
    return this.#users.size;
  }

  clear(): void {
    this.#users.clear();
    this.#byGateway.clear();
  }

  #user(eid: string): User {
    let user = this.#users.get(eid);
    if (user === undefined) {
      user = { sessions: new Map(), lastSeen: NEVER_SEEN, settings: undefined, wider: undefined };
      this.#users.set(eid, user);
    }
    return user;
  }

  #hold(key: string, record: SessionRecord): void {
    let held = this.#byGateway.get(record.gateway);
    if (held === undefined) {
      held = new Map();
      this.#byGateway.set(record.gateway, held);
    }
    held.set(key, record);
  }

  #forgetHeld(key: string, record: SessionRecord | undefined): void {
    if (record === undefined) return;
    const held = this.#byGateway.get(record.gateway);
    if (held === undefined) return;
    held.delete(key);
    if (held.size === 0) this.#byGateway.delete(record.gateway);
  }
}

/** Who was shown as OFFLINE, though connected, was last seen before that. */
function lastSeenOf({ atMs, device, node, presence }: SessionRecord): LastSeen {
  const { status, visibility } = presence;
  return { atMs: status === AwarenessStatus.OFFLINE ? presence.atMs : atMs, device, node, visibility };
}

function changeOf(eid: string, user: User, before: Visible): Change {
  const after = visible(user);
  const now = performance.now();
  if (after.visibility > before.visibility) {
    const known = user.wider !== undefined && user.wider.untilMs > now ? user.wider.visibility : before.visibility;
    user.wider = { visibility: Math.min(known, before.visibility), untilMs: now + WIDER_MS, narrowedAtMs: Date.now() };
  }
  return { eid, before, after };
}

function visible(user: User | undefined): Visible {
  const settings = {
    visibility: user?.settings?.record.visibility ?? DEFAULT_VISIBILITY,
    custom: user?.settings?.record.custom ?? undefined,
  };
  return visibleOf(records(user), user?.lastSeen ?? NEVER_SEEN, settings);
}

function* records(user: User | undefined): Iterable<SessionRecord> {
  if (user !== undefined) for (const { record } of user.sessions.values()) yield record;
}
