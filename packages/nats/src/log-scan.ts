import { type BatchQuery, batchGet } from "./batch-get.js";
import type { Link } from "./connect.js";
import { HEADERS } from "./names.js";
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

/** How far a scan came. */
export interface Scanned {
  /** Index of the last entry that was looked at, wanted or not; 0 = there was none. */
  readonly last: number;
  /** The log's end was reached. */
  readonly complete: boolean;
}

/**
 * Goes over a user's log from some point on, in order, by batched direct gets.
 *
 * May come from a replica that lags: what was stored in the last moments may be missing. Rejects with an Error when NATS
 * does not answer.
 */
export async function scanLog(link: Link, request: ScanRequest): Promise<Scanned> {
  const partition = partitionOf(request.eid, request.partitions);
  let { from, limit, maxBytes } = request;
  let last = 0;
  while (limit > 0 && maxBytes > 0) {
    let seen = 0;
    const page = { partition, eid: request.eid, from, limit: Math.min(PAGE_ENTRIES, limit), maxBytes: PAGE_BYTES };
    await batchGet(link, page, (index, message) => {
      seen++;
      last = index;
      maxBytes -= message.data.length;
      if (!request.wanted(message.data)) return;
      request.onEntry({ index, entryId: message.headers?.get(HEADERS.messageId) ?? "" });
    });
    if (seen === 0) return { last, complete: true };
    from = { after: last };
    limit -= seen;
  }
  return { last, complete: false };
}
