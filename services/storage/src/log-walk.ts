import { setTimeout as delay } from "node:timers/promises";
import type { LogEntry, LogReader } from "@bimip/nats";

/**
 * What answers one question ends after so many bytes of log, with what it found: a log of large entries takes no longer to
 * go through than callers wait, and holds up no others. 8 MiB.
 */
export const SCAN_BYTES = 8 * 1024 * 1024;
const PAGE_ENTRIES = 256;
/** A replica that lags behind the leader is asked again after so long, so many times. */
const STALE_REPLICA_MS = 10;
const MAX_STALE_READS = 200;
/** A window that holds more than this is taken smaller. */
const WINDOW_ENTRIES = 512;
const WINDOW_BYTES = 4 * 1024 * 1024;

/** A stretch of a log, read whole. */
export interface Window {
  /** Ascending. */
  readonly entries: readonly LogEntry[];
  /** All entries with a higher index, up to the window before, are in it. */
  readonly after: number;
}

/**
 * The entries with an index above `after`, up to `head` and never beyond it, ascending, in pages.
 *
 * @param head as the log's leader named it: a page that ends sooner comes from a replica that lags
 * @throws Error when replicas lag for seconds
 */
export async function* pagesAfter(
  reader: LogReader,
  eid: string,
  after: number,
  head: number,
): AsyncGenerator<readonly LogEntry[]> {
  let position = after;
  let staleReads = 0;
  while (position < head) {
    const limit = Math.min(PAGE_ENTRIES, head - position);
    const page = await reader.page(eid, position, limit);
    const last = page.at(-1);
    if (last !== undefined) {
      staleReads = 0;
      position = last.index;
      yield position <= head ? page : page.filter(({ index }) => index <= head);
      continue;
    }
    if ((await reader.head(eid)) <= position) return; // trimmed or expired meanwhile
    if (++staleReads > MAX_STALE_READS) throw new Error(`no replica has the log up to ${head}`);
    await delay(STALE_REPLICA_MS);
  }
}

/**
 * The entries with an index below `before`, backwards in windows, down to `first`. JetStream reads forwards only, and a
 * partition's indexes are shared by many logs: so windows grow while they hold little and shrink when they hold much.
 *
 * @param before at most the head + 1
 * @param first oldest index of interest, not 0
 * @param width indexes in the first window
 */
export async function* windowsBefore(
  reader: LogReader,
  eid: string,
  before: number,
  first: number,
  width = WINDOW_ENTRIES,
): AsyncGenerator<Window> {
  let end = before;
  while (end > first) {
    const after = Math.max(end - 1 - width, first - 1);
    const entries = await readWindow(reader, eid, after, end - 1);
    if (entries === undefined) {
      width = width > WINDOW_ENTRIES ? WINDOW_ENTRIES : Math.ceil(width / 2);
      continue;
    }
    yield { entries, after };
    end = after + 1;
    if (entries.length < WINDOW_ENTRIES / 4) width *= 2;
  }
}

/** All entries above `after` up to `last`; undefined when they are too much for one window. */
async function readWindow(
  reader: LogReader,
  eid: string,
  after: number,
  last: number,
): Promise<readonly LogEntry[] | undefined> {
  const entries: LogEntry[] = [];
  let bytes = 0;
  for await (const page of pagesAfter(reader, eid, after, last)) {
    entries.push(...page);
    for (const entry of page) bytes += entry.bytes.length;
    if ((entries.length > WINDOW_ENTRIES || bytes > WINDOW_BYTES) && last - after > 1) return undefined;
  }
  return entries;
}
