import { QueryType } from "@bimip/protocol";
import type { Queries } from "./queries.js";

/** The protocol's cap of unread counts. */
const MAX_UNREAD = 999;

/** Unread messages of one conversation. */
export interface UnreadRow {
  /** The other's EID. */
  readonly with: string;
  /** Capped at 999. */
  readonly count: number;
  /** Index of the newest. */
  readonly lastIndex: number;
}

export interface UnreadCounts {
  /** Capped at 999. */
  readonly total: number;
  readonly rows: readonly UnreadRow[];
}

/** A browser's PushSubscription, or its JSON form. */
export interface PushSubscriptionLike {
  readonly endpoint: string;
}

export async function askUnread(queries: Queries, partner: string | undefined): Promise<UnreadCounts> {
  const page = await queries.ask({
    type: QueryType.UNREAD,
    ...(partner !== undefined && { with: { eid: partner } }),
  });
  const rows = page.unread.map(({ with: other, count, lastId }) => ({
    with: other?.eid ?? "",
    count,
    lastIndex: Number(lastId),
  }));
  const sum = rows.reduce((total, { count }) => total + count, 0);
  return { total: Math.min(sum, MAX_UNREAD), rows };
}

export async function askSubscribe(queries: Queries, subscription: PushSubscriptionLike): Promise<void> {
  const data = new TextEncoder().encode(JSON.stringify(subscription));
  await queries.ask({ type: QueryType.PUSH_SUBSCRIBE, data });
}

export async function askUnsubscribe(queries: Queries): Promise<void> {
  await queries.ask({ type: QueryType.PUSH_UNSUBSCRIBE });
}
