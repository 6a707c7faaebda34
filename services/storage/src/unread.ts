import type { MessageInitShape } from "@bufbuild/protobuf";
import { summaryOf, type UnreadRequest, type UnreadResponseSchema } from "@bimip/protocol";
import type { LogReader } from "@bimip/nats";
import { SCAN_BYTES, windowsBefore } from "./log-walk.js";
import type { UserStore } from "./user-store.js";

/** Nobody shows a higher number; of a sender, and of all. */
const MAX_COUNT = 999;
/** Entries looked at, one's own copies and receipts included; who has more behind the last READ is told of the newest. */
const SCAN_ENTRIES = 20_000;

type Rows = Map<string, { count: number; lastId: number }>;

/**
 * Query UNREAD: messages and push notifications of others behind the highest READ, by sender, the newest sender first.
 * Counted from the head backwards, 20,000 entries or 8 MiB at most: who wrote last is never hidden by who wrote much.
 */
export async function unread(
  store: UserStore,
  reader: LogReader,
  { eid, with: partner }: UnreadRequest,
): Promise<MessageInitShape<typeof UnreadResponseSchema>> {
  const [{ read }, oldest, head] = await Promise.all([store.read(eid), reader.first(eid), reader.head(eid)]);
  const rows: Rows = new Map();
  let total = 0;
  let scanned = 0;
  let scannedBytes = 0;
  const look = (bytes: Uint8Array, index: number): void => {
    scanned++;
    scannedBytes += bytes.length;
    const { kind, from } = summaryOf(bytes);
    if (kind !== "message" && kind !== "pushNotification") return;
    if (from.eid === eid || (partner !== "" && from.eid !== partner)) return;
    total++;
    const row = rows.get(from.eid);
    if (row === undefined) rows.set(from.eid, { count: 1, lastId: index });
    else row.count++;
  };
  const first = Math.max(oldest, read + 1);
  // Mostly all of it fits into one window.
  if (oldest > 0) {
    scan: for await (const { entries } of windowsBefore(reader, eid, head + 1, first, head + 1 - first)) {
      for (const { index, bytes } of entries.toReversed()) {
        look(bytes, index);
        if (scanned >= SCAN_ENTRIES || scannedBytes >= SCAN_BYTES) break scan;
      }
    }
  }
  return {
    // As they were met: the newest sender first.
    rows: [...rows].map(([sender, { count, lastId }]) => {
      return { eid: sender, count: Math.min(count, MAX_COUNT), lastId: BigInt(lastId) };
    }),
    total: Math.min(total, MAX_COUNT),
  };
}
