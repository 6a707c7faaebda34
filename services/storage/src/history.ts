import type { MessageInitShape } from "@bufbuild/protobuf";
import { type HistoryRequest, type HistoryResponseSchema, LIMITS, summaryOf, withIndexes } from "@bimip/protocol";
import type { LogEntry, LogReader } from "@bimip/nats";
import { pagesAfter, SCAN_BYTES, windowsBefore } from "./log-walk.js";
import { PageReceipts } from "./page-receipts.js";

type HistoryAnswer = MessageInitShape<typeof HistoryResponseSchema>;

const DEFAULT_LIMIT = 50;
/** Items of a page end after so many bytes, with one at least; with their receipts they stay below 512 KiB. */
const ITEM_BYTES = 128 * 1024;
/** Entries looked at for one page, or {@link SCAN_BYTES}; then it ends, with fewer items or none, and says where to go on. */
const SCAN_ENTRIES = 4_000;

/** One page while it is gathered. */
interface Draft {
  /** Ascending or descending, as they are looked at. */
  readonly items: LogEntry[];
  readonly receipts: PageReceipts;
  readonly limit: number;
  readonly wanted: (bytes: Uint8Array) => boolean;
  bytes: number;
  scanned: number;
  scannedBytes: number;
}

/**
 * Query HISTORY: a page of one's own log: messages and push notifications, one's own copies included, and behind them the
 * receipts that belong to the page's own messages. `everything` is the export: all kinds of entries, forwards.
 */
export async function history(reader: LogReader, request: HistoryRequest): Promise<HistoryAnswer> {
  const { eid, everything } = request;
  const [after, before] = [Number(request.after), Number(request.before)];
  const [first, head] = await Promise.all([reader.first(eid), reader.head(eid)]);
  const asked = request.limit > 0 ? request.limit : DEFAULT_LIMIT;
  const draft: Draft = {
    items: [],
    receipts: new PageReceipts(eid),
    limit: Math.min(asked, LIMITS.pageItems),
    wanted: everything ? () => true : (bytes) => isConversation(bytes, eid, request.with),
    bytes: 0,
    scanned: 0,
    scannedBytes: 0,
  };
  if (everything || after > 0) return forwards(reader, eid, { draft, after, head, everything });
  return backwards(reader, eid, { draft, before: before > 0 ? Math.min(before, head + 1) : head + 1, first, head });
}

async function forwards(
  reader: LogReader,
  eid: string,
  { draft, after, head, everything }: { draft: Draft; after: number; head: number; everything: boolean },
): Promise<HistoryAnswer> {
  let last = after;
  const answer = async (): Promise<HistoryAnswer> => {
    const receipts = everything ? [] : await draft.receipts.of(reader, draft.items, { after: last, head });
    return answerOf(draft.items, receipts, last, last >= head);
  };
  for await (const page of pagesAfter(reader, eid, after, head)) {
    for (const entry of page) {
      if (!fits(draft, entry)) return answer();
      take(draft, entry);
      last = entry.index;
      if (isFull(draft)) return answer();
    }
  }
  last = Math.max(last, head);
  return answer();
}

async function backwards(
  reader: LogReader,
  eid: string,
  { draft, before, first, head }: { draft: Draft; before: number; first: number; head: number },
): Promise<HistoryAnswer> {
  let lowest = before;
  const answer = async (): Promise<HistoryAnswer> => {
    const items = draft.items.toReversed();
    const receipts = await draft.receipts.of(reader, items, { after: before - 1, head });
    return answerOf(items, receipts, lowest, first === 0 || lowest <= first);
  };
  if (first === 0) return answer();
  for await (const { entries, after } of windowsBefore(reader, eid, before, first)) {
    for (const entry of entries.toReversed()) {
      if (!fits(draft, entry)) return answer();
      take(draft, entry);
      lowest = entry.index;
      if (isFull(draft)) return answer();
    }
    lowest = after + 1;
  }
  return answer();
}

function take(draft: Draft, entry: LogEntry): void {
  draft.scanned++;
  draft.scannedBytes += entry.bytes.length;
  draft.receipts.look(entry);
  if (!draft.wanted(entry.bytes)) return;
  draft.items.push(entry);
  draft.bytes += entry.bytes.length;
}

/** Whether the entry still has room: the first one always has. */
function fits(draft: Draft, entry: LogEntry): boolean {
  return draft.items.length === 0 || draft.bytes + entry.bytes.length <= ITEM_BYTES;
}

function isFull(draft: Draft): boolean {
  return draft.items.length >= draft.limit || draft.scanned >= SCAN_ENTRIES || draft.scannedBytes >= SCAN_BYTES;
}

/** Messages and push notifications, with that partner or, `""`, with anybody. */
function isConversation(bytes: Uint8Array, eid: string, partner: string): boolean {
  const { kind, from, to } = summaryOf(bytes);
  if (kind !== "message" && kind !== "pushNotification") return false;
  return partner === "" || (from.eid === eid ? to.eid : from.eid) === partner;
}

function answerOf(
  items: readonly LogEntry[],
  receipts: readonly LogEntry[],
  next: number,
  done: boolean,
): HistoryAnswer {
  const frames = [...items, ...receipts].map(({ index, bytes }) => withIndexes(bytes, index, 0));
  return { items: frames, next: BigInt(next), done };
}
