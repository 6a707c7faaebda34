import { setTimeout as delay } from "node:timers/promises";
import { ownText } from "@bimip/protocol";
import { type BatchQuery, batchGet } from "./batch-get.js";
import type { Link } from "./connect.js";
import type { LogReader } from "./log-reader.js";
import { HEADERS, logStream, SUBJECTS } from "./names.js";
import { partitionOf } from "./partition.js";

/** An entry that a scan came by. */
export interface ScannedEntry {
  readonly index: number;
  /** What it is deduped by, see `entryId`. */
  readonly entryId: string;
}

export interface ScanRequest {
  readonly eid: string;
  /** As in the meta bucket. */
  readonly partitions: number;
  readonly from: BatchQuery["from"];
  /** Entries at most. */
  readonly limit: number;
  /** The scan ends after so many bytes of entries, with one entry at least. */
  readonly maxBytes: number;
  /** Entries that `onEntry` is not called for cost less. */
  readonly wanted: (bytes: Uint8Array) => boolean;
  readonly onEntry: (entry: ScannedEntry) => void;
}

const PAGE_ENTRIES = 512;
const PAGE_BYTES = 512 * 1024;

/** A replica that lags is asked again after so long, or another one is, so many times. */
const LAG_MS = 100;
const MAX_LAGS = 10;

/** How far a scan came. */
export interface Scanned {
  /** Index of the last entry that was looked at, wanted or not; 0 = there was none. */
  readonly last: number;
  /** All was looked at that the log held when the scan began. */
  readonly complete: boolean;
  /** When the last entry was stored (epoch milliseconds), if the scan is not complete; 0 = it is gone again. */
  readonly lastMs: number;
}

/**
 * Goes over a user's log from some point on, in order, by batched direct gets. Those may come from a replica that lags,
 * so the leader is asked how far the log goes. Rejects with an Error when NATS does not answer, or no replica has it all.
 */
export async function scanLog(link: Link, reader: LogReader, request: ScanRequest): Promise<Scanned> {
  const { eid } = request;
  const partition = partitionOf(eid, request.partitions);
  const log = { stream: logStream(partition), subject: SUBJECTS.log(partition, eid) };
  if (!link.up) throw new Error("scanning a log: NATS is away");
  const head = await reader.head(eid);
  let { from, limit, maxBytes } = request;
  let last = 0;
  let lags = 0;
  const target = "after" in from && from.after >= head ? 0 : head;
  while (last < target) {
    if (limit <= 0 || maxBytes <= 0) return { last, complete: false, lastMs: await storedAt(reader, eid, last) };
    let seen = 0;
    const page = { ...log, from, limit: Math.min(PAGE_ENTRIES, limit), maxBytes: PAGE_BYTES };
    await batchGet(link, page, (index, message) => {
      seen++;
      last = index;
      maxBytes -= message.data.length;
      if (!request.wanted(message.data)) return;
      // Kept for a session's life.
      request.onEntry({ index, entryId: ownText(message.headers?.get(HEADERS.messageId) ?? "") });
    });
    if (seen > 0) {
      from = { after: last };
      limit -= seen;
      continue;
    }
    const headStoredMs = await storedAt(reader, eid, head);
    const wasMissed = "after" in from ? headStoredMs > 0 : headStoredMs >= Math.max(from.sinceMs, 1);
    if (!wasMissed) break;
    if (++lags > MAX_LAGS) throw new Error(`scanning a log: no replica that was asked has ${head}, its last entry`);
    await delay(LAG_MS);
  }
  return { last, complete: true, lastMs: 0 };
}

/** 0 = there is no such entry. */
async function storedAt(reader: LogReader, eid: string, index: number): Promise<number> {
  return (await reader.entry(eid, index))?.storedAtMs ?? 0;
}
