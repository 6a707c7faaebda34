import type { SessionRecord } from "@bimip/nats";
import { AwarenessStatus } from "@bimip/protocol";
import type { CustomStatus } from "./user-record.js";

/** A user's presence as it stands, before anybody asks who may see it. */
export interface Visible {
  /** AwarenessStatus, 1 to 5. */
  readonly status: number;
  readonly details: string;
  /** Epoch milliseconds: since when, or last seen. 0 = never seen. */
  readonly atMs: number;
  /** When it falls back to ONLINE; 0 = never. */
  readonly untilMs: number;
  /** Visibility: the strictest one of the user's setting, what the device said, and what was said of type 2. */
  readonly visibility: number;
  /** The device that this is of; "" = none was ever seen. */
  readonly device: string;
  readonly node: string;
  readonly custom: CustomStatus | undefined;
}

/** What is kept of a user whose devices are all gone. */
export interface LastSeen {
  readonly atMs: number;
  readonly device: string;
  readonly node: string;
  /** What the device said of visibility goes on while it is gone. */
  readonly visibility: number;
}

export const NEVER_SEEN: LastSeen = { atMs: 0, device: "", node: "", visibility: 0 };

/** ONLINE > BUSY > DND > AWAY > OFFLINE. */
const RANK: readonly number[] = [
  AwarenessStatus.OFFLINE,
  AwarenessStatus.AWAY,
  AwarenessStatus.DND,
  AwarenessStatus.BUSY,
  AwarenessStatus.ONLINE,
];

/**
 * A user is as present as their most present device; of equal ones that which spoke last.
 *
 * @param sessions online, or within their grace period
 */
export function visibleOf(
  sessions: Iterable<SessionRecord>,
  lastSeen: LastSeen,
  user: { readonly visibility: number; readonly custom: CustomStatus | undefined },
): Visible {
  let leading: SessionRecord | undefined;
  for (const session of sessions) if (leading === undefined || leads(session, leading)) leading = session;
  const { custom } = user;
  const visibility = Math.max(user.visibility, custom?.visibility ?? 0);
  if (leading === undefined) {
    const narrowed = Math.max(visibility, lastSeen.visibility);
    return { ...lastSeen, status: AwarenessStatus.OFFLINE, details: "", untilMs: 0, visibility: narrowed, custom };
  }
  const { presence, device, node } = leading;
  const { status, details, atMs, untilMs } = presence;
  return {
    status,
    details,
    atMs,
    untilMs,
    visibility: Math.max(visibility, presence.visibility),
    device,
    node,
    custom,
  };
}

function leads(a: SessionRecord, b: SessionRecord): boolean {
  const by = RANK.indexOf(a.presence.status) - RANK.indexOf(b.presence.status);
  return by !== 0 ? by > 0 : a.presence.atMs > b.presence.atMs;
}

/** What of a type 1 tells one from the other. */
export function samePresence(a: Visible, b: Visible): boolean {
  return a.status === b.status && a.details === b.details && a.untilMs === b.untilMs;
}

export function sameCustom(a: Visible, b: Visible): boolean {
  if (a.custom === undefined || b.custom === undefined) return a.custom === b.custom;
  const { status, details, untilMs } = a.custom;
  return status === b.custom.status && details === b.custom.details && untilMs === b.custom.untilMs;
}

/** Nobody would notice. */
export function sameVisible(a: Visible, b: Visible): boolean {
  return samePresence(a, b) && sameCustom(a, b) && a.visibility === b.visibility;
}
