import { type JetStreamManager, JetStreamApiError, jetstreamManager, type MsgRequest } from "@nats-io/jetstream";
import { batchGet } from "./batch-get.js";
import type { Link } from "./connect.js";
import { logStream, SUBJECTS } from "./names.js";
import { partitionOf } from "./partition.js";
import { createTurns } from "./turns.js";

/** An entry of a user's log. */
export interface LogEntry {
  /** monotonic_id. */
  readonly index: number;
  /** The MessageScheme as stored. A view of a buffer that nothing else writes to. */
  readonly bytes: Uint8Array;
}

/** Reads users' logs. Errors are Error with a plain text; callers try again. */
export interface LogReader {
  /** Index of the last entry of a user's log, 0 when empty; asked of the stream's leader, so never stale. */
  head(eid: string): Promise<number>;
  /**
   * Up to `limit` entries with an index above `after`, in order. May come from a replica that lags: an empty page does
   * not prove that the end is reached, `head` does.
   */
  page(eid: string, after: number, limit: number): Promise<LogEntry[]>;
  /** Index of the oldest retained entry of a user's log, 0 when empty; asked of the stream's leader. */
  first(eid: string): Promise<number>;
  /** The entry with this index, if it is there and in this user's log; a replica that lags is not believed. */
  entry(eid: string, index: number): Promise<StoredEntry | undefined>;
  /** Indexes of the last entries of many logs; empty logs are left out. May be older than the truth, never newer. */
  heads(eids: readonly string[]): Promise<Map<string, number>>;
}

/** An entry and when it was stored. */
export interface StoredEntry extends LogEntry {
  /** Epoch milliseconds. */
  readonly storedAtMs: number;
}

const NO_MESSAGE_FOUND = 10_037;
/** A page ends after so many bytes, with one entry at least: a user who reads a log of large entries costs no more than others. */
const PAGE_BYTES = 512 * 1024;
/** Pages read at once by one process; more wait their turn, as after a reconnect, when every session reads. */
const MAX_CONCURRENT_PAGES = 32;

/** Questions for one entry or index at once by one process; more wait their turn. */
const MAX_CONCURRENT_QUESTIONS = 256;

/** @param partitions as in the meta bucket */
export async function createLogReader(link: Link, partitions: number): Promise<LogReader> {
  const jsm = await jetstreamManager(link.nc, { checkAPI: false });
  const inTurn = createTurns(MAX_CONCURRENT_PAGES);
  const askInTurn = createTurns(MAX_CONCURRENT_QUESTIONS);
  return {
    head: (eid) => askInTurn(() => leaderIndex(jsm, eid, partitions, (subject) => ({ last_by_subj: subject }))),
    page: (eid, after, limit) =>
      inTurn(async () => {
        const entries: LogEntry[] = [];
        const partition = partitionOf(eid, partitions);
        const log = { stream: logStream(partition), subject: SUBJECTS.log(partition, eid) };
        await batchGet(link, { ...log, from: { after }, limit, maxBytes: PAGE_BYTES }, (index, { data }) =>
          entries.push({ index, bytes: data }),
        );
        return entries;
      }),
    first: (eid) =>
      askInTurn(() => leaderIndex(jsm, eid, partitions, (subject) => ({ seq: 1, next_by_subj: subject }))),
    entry: (eid, index) => askInTurn(() => entry(jsm, partitionOf(eid, partitions), eid, index)),
    heads: (eids) => heads(jsm, eids, partitions),
  };
}

/** Index of the entry that the leader finds, 0 when there is none. */
async function leaderIndex(
  jsm: JetStreamManager,
  eid: string,
  partitions: number,
  query: (subject: string) => MsgRequest,
): Promise<number> {
  const partition = partitionOf(eid, partitions);
  const message = await unlessMissing(
    jsm.streams.getMessage(logStream(partition), query(SUBJECTS.log(partition, eid))),
  );
  return message?.seq ?? 0;
}

async function entry(
  jsm: JetStreamManager,
  partition: number,
  eid: string,
  index: number,
): Promise<StoredEntry | undefined> {
  if (index < 1) return undefined; // nats-server takes the question for an empty one, and refuses it
  const stream = logStream(partition);
  const message =
    (await unlessMissing(jsm.direct.getMessage(stream, { seq: index }))) ??
    (await unlessMissing(jsm.streams.getMessage(stream, { seq: index })));
  if (message?.subject !== SUBJECTS.log(partition, eid)) return undefined;
  return { index, bytes: message.data, storedAtMs: message.time.getTime() };
}

/** How many subjects nats-server takes in one question. */
const MAX_SUBJECTS = 1_024;

async function heads(jsm: JetStreamManager, eids: readonly string[], partitions: number): Promise<Map<string, number>> {
  const eidOf = new Map<string, string>();
  const subjects = new Map<number, string[]>();
  for (const eid of eids) {
    const partition = partitionOf(eid, partitions);
    const subject = SUBJECTS.log(partition, eid);
    eidOf.set(subject, eid);
    const list = subjects.get(partition);
    if (list === undefined) subjects.set(partition, [subject]);
    else list.push(subject);
  }
  const found = new Map<string, number>();
  for (const [partition, list] of subjects) {
    for (let at = 0; at < list.length; at += MAX_SUBJECTS) {
      const query = { multi_last: list.slice(at, at + MAX_SUBJECTS) };
      for await (const { subject, seq } of await jsm.direct.getLastMessagesFor(logStream(partition), query)) {
        found.set(eidOf.get(subject) ?? "", seq);
      }
    }
  }
  return found;
}

async function unlessMissing<T>(message: Promise<T | null>): Promise<T | undefined> {
  try {
    return (await message) ?? undefined;
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === NO_MESSAGE_FOUND) return undefined;
    throw error;
  }
}
