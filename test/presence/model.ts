import { AwarenessStatus, AwarenessType, Visibility } from "@bimip/protocol";
import { isAccepted, Relations, type Side } from "./relations.js";

/** What a viewer is to be shown of somebody. Hidden looks like OFFLINE to who knew them, and like nothing to who did not. */
export interface Look {
  readonly visible: boolean;
  /** AwarenessStatus, 1 to 5; OFFLINE while hidden. */
  readonly status: number;
  /** The type-2 status, 0 = none; means nothing while OFFLINE. */
  readonly activity: number;
}

export interface Said {
  readonly type: AwarenessType;
  readonly status: number;
  /** Seconds, 0 = for ever. */
  readonly ttl: number;
  /** Visibility, 0 = as it is set. */
  readonly visibility: number;
}

interface DeviceModel {
  connected: boolean;
  status: number;
  visibility: number;
  /** Date.now; 0 = never. */
  untilMs: number;
}

interface UserModel {
  readonly devices: Map<string, DeviceModel>;
  visibility: number;
  activity: number;
  activityUntilMs: number;
}

const { ONLINE, OFFLINE, AWAY, BUSY, DND } = AwarenessStatus;
const MOST_PRESENT_FIRST: readonly number[] = [ONLINE, BUSY, DND, AWAY, OFFLINE];
const HIDDEN: Look = { visible: false, status: OFFLINE, activity: 0 };

/** "public: contacts and any follower; contacts: only accepted ones; private: nobody. A block overrides." */
export function maySee(side: Side, open: boolean, visibility: number): boolean {
  if (!open || visibility === Visibility.PRIVATE) return false;
  return isAccepted(side) || (visibility === Visibility.PUBLIC && side === "askedFollow");
}

/** Who sees what of whom, as the specification has it; knows nothing of gateways, grace periods or order. */
export class PresenceModel {
  readonly relations = new Relations();
  readonly #users = new Map<string, UserModel>();
  /** When something last ends by itself (Date.now). */
  #timersEndMs = 0;

  connect(eid: string, device: string): void {
    this.#user(eid).devices.set(device, { connected: true, status: ONLINE, visibility: 0, untilMs: 0 });
  }

  /** @param goneMs when others are told, Date.now */
  disconnect(eid: string, device: string, goneMs: number): void {
    this.#user(eid).devices.delete(device);
    this.#endsAt(goneMs);
  }

  say(eid: string, device: string, { type, status, ttl, visibility }: Said): void {
    const user = this.#user(eid);
    const untilMs = ttl === 0 ? 0 : Date.now() + ttl * 1_000;
    this.#endsAt(untilMs);
    if (type === AwarenessType.STATUS) {
      [user.activity, user.activityUntilMs] = [status, untilMs];
      return;
    }
    user.devices.set(device, { connected: true, status, visibility, untilMs });
    if (status === ONLINE) user.activity = 0;
  }

  setVisibility(eid: string, visibility: number): void {
    this.#user(eid).visibility = visibility;
  }

  visibilityOf(eid: string): number {
    return this.#user(eid).visibility;
  }

  /** From then on nothing changes without a step (Date.now). */
  get timersEndMs(): number {
    return this.#timersEndMs;
  }

  /**
   * What `viewer` is shown of `seen` once nothing changes any more. More than one: of equally present devices any may lead,
   * and they do not narrow the visibility alike.
   */
  looks(viewer: string, seen: string): Look[] {
    const { devices, visibility, activity, activityUntilMs } = this.#user(seen);
    const side = this.relations.side(viewer, seen);
    const open = this.relations.isOpen(viewer, seen);
    const holds = activityUntilMs === 0 || activityUntilMs > Date.now();
    const now = [...devices.values()].map((device) => asItIs(device));
    const status = MOST_PRESENT_FIRST.find((one) => now.some((device) => device.status === one)) ?? OFFLINE;
    const leading = now.filter((device) => device.status === status);
    const narrowed = leading.length === 0 ? [0] : leading.map((device) => device.visibility);
    const shown: Look = { visible: true, status, activity: holds ? activity : 0 };
    return narrowed.map((one) => (maySee(side, open, Math.max(visibility, one)) ? shown : HIDDEN));
  }

  #user(eid: string): UserModel {
    let user = this.#users.get(eid);
    if (user === undefined) {
      user = { devices: new Map(), visibility: Visibility.CONTACTS, activity: 0, activityUntilMs: 0 };
      this.#users.set(eid, user);
    }
    return user;
  }

  #endsAt(ms: number): void {
    this.#timersEndMs = Math.max(this.#timersEndMs, ms);
  }
}

/** What was said for a time is over after it. */
function asItIs(device: DeviceModel): DeviceModel {
  const isOver = device.untilMs > 0 && device.untilMs <= Date.now();
  return isOver ? { ...device, status: ONLINE, visibility: 0, untilMs: 0 } : device;
}
