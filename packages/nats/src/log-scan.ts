import { createInbox, type Msg } from "@nats-io/nats-core";
import type { Link } from "./connect.js";
import { HEADERS, logStream, SUBJECTS } from "./names.js";
import { partitionOf } from "./partition.js";
import { readEntryHeaders } from "./raw-headers.js";

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
  /** Where to begin: behind an index, or with what was stored at this time or later (epoch milliseconds). */
  readonly from: { readonly after: number } | { readonly sinceMs: number };
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
/** A page that makes no progress for so long has failed. */
const PAGE_WAIT_MS = 3_000;
const END_OF_BATCH = 204;
const NOT_FOUND = 404;

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
    await page(link, partition, request.eid, from, Math.min(PAGE_ENTRIES, limit), (index, message) => {
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

/** One batch. */
async function page(
  link: Link,
  partition: number,
  eid: string,
  from: ScanRequest["from"],
  batch: number,
  onEntry: (index: number, message: Msg) => void,
): Promise<void> {
  const start =
    "after" in from ? { seq: from.after + 1 } : { start_time: new Date(Math.max(from.sinceMs, 0)).toISOString() };
  const query = { ...start, next_by_subj: SUBJECTS.log(partition, eid), batch, max_bytes: PAGE_BYTES };
  const stream = logStream(partition);
  const inbox = createInbox();
  return new Promise((resolve, reject) => {
    let seen = 0;
    let seenBefore = -1;
    const end = (error?: Error): void => {
      clearInterval(watch);
      subscription.unsubscribe();
      if (error === undefined) resolve();
      else reject(error);
    };
    const watch = setInterval(() => {
      if (seen === seenBefore) end(new Error(`scan of ${stream}: no answer in ${PAGE_WAIT_MS} ms`));
      seenBefore = seen;
    }, PAGE_WAIT_MS);
    const subscription = link.nc.subscribe(inbox, {
      callback: (error, message: Msg) => {
        if (error) return end(error);
        const { status, sequence } = readEntryHeaders(message);
        if (status === END_OF_BATCH || status === NOT_FOUND) return end();
        if (status !== 0) return end(new Error(`scan of ${stream}: status ${status}`));
        seen++;
        onEntry(sequence, message);
      },
    });
    try {
      link.nc.publish(`$JS.API.DIRECT.GET.${stream}`, JSON.stringify(query), { reply: inbox });
    } catch (error) {
      end(error instanceof Error ? error : new Error(String(error)));
    }
  });
}
