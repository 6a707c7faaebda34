import { type Awareness, AwarenessStatus, AwarenessType } from "@bimip/protocol";
import type { OwnAwareness } from "./stanzas.js";

/** What this client wants to be shown as, or what is known of that. */
export interface OwnWord {
  readonly own: OwnAwareness;
  /** Epoch milliseconds; Infinity = it does not end. */
  readonly untilMs: number;
}

/** A status of one's own, none: that there is none. */
export type StatusWord = OwnWord | "none";

export const ONLINE: OwnAwareness = { type: AwarenessType.PRESENCE, status: AwarenessStatus.ONLINE };

export function wordOf(own: OwnAwareness): OwnWord {
  const { ttlS = 0 } = own;
  return { own, untilMs: ttlS > 0 ? Date.now() + ttlS * 1_000 : Number.POSITIVE_INFINITY };
}

/** What is left of it, undefined: nothing. */
export function left(word: OwnWord | undefined, nowMs: number): OwnAwareness | undefined {
  if (word === undefined || word.untilMs <= nowMs) return undefined;
  if (!Number.isFinite(word.untilMs)) return word.own;
  return { ...word.own, ttlS: Math.ceil((word.untilMs - nowMs) / 1_000) };
}

/** The status of a user behind what was told; undefined: nothing of that was told. */
export function statusIn(told: readonly Awareness[], eid: string): StatusWord | undefined {
  let word: StatusWord | undefined;
  for (const { from, to, type, status, details, ttl } of told) {
    if (from?.eid !== eid || (to?.eid ?? "") !== "") continue;
    if (type === AwarenessType.STATUS) word = wordOf({ type, status, details, ttlS: ttl });
    else if (type === AwarenessType.PRESENCE && status === AwarenessStatus.ONLINE) word = "none";
  }
  return word;
}
