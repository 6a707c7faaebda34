import type { MessageInitShape } from "@bufbuild/protobuf";
import { summaryOf, type UnreadRequest, type UnreadResponseSchema } from "@bimip/protocol";
import type { LogReader } from "@bimip/nats";
import { pagesAfter } from "./log-walk.js";
import type { UserStore } from "./user-store.js";

/** Nobody shows a higher number. */
const MAX_TOTAL = 999;
/** Entries looked at, one's own copies and receipts included: who has that many behind the last READ gets what was found. */
const SCAN_ENTRIES = 20_000;

/** Query UNREAD: messages and push notifications of others behind the highest READ, by sender, the newest sender first. */
export async function unread(
  store: UserStore,
  reader: LogReader,
  { eid, with: partner }: UnreadRequest,
): Promise<MessageInitShape<typeof UnreadResponseSchema>> {
  const { read } = await store.read(eid);
  const rows = new Map<string, { count: number; lastId: number }>();
  let total = 0;
  let scanned = 0;
  const count = (sender: string, index: number): void => {
    total++;
    rows.set(sender, { count: (rows.get(sender)?.count ?? 0) + 1, lastId: index });
  };
  scan: for await (const page of pagesAfter(reader, eid, read, await reader.head(eid))) {
    for (const { index, bytes } of page) {
      const { kind, from } = summaryOf(bytes);
      const counts = kind === "message" || kind === "pushNotification";
      if (counts && from.eid !== eid && (partner === "" || from.eid === partner)) count(from.eid, index);
      if (total >= MAX_TOTAL || ++scanned >= SCAN_ENTRIES) break scan;
    }
  }
  const newestFirst = [...rows].sort(([, a], [, b]) => b.lastId - a.lastId);
  return {
    rows: newestFirst.map(([sender, row]) => ({ eid: sender, count: row.count, lastId: BigInt(row.lastId) })),
    total,
  };
}
