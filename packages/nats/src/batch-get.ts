import type { Msg } from "@nats-io/nats-core";
import type { Link } from "./connect.js";
import { newInbox } from "./inbox.js";
import { readEntryHeaders } from "./raw-headers.js";

/** Entries of one stream under one subject, or under a pattern, in order. */
export interface BatchQuery {
  readonly stream: string;
  readonly subject: string;
  /** Where to begin: behind an index, or with what was stored at this time or later (epoch milliseconds). */
  readonly from: { readonly after: number } | { readonly sinceMs: number };
  /** Entries at most. */
  readonly limit: number;
  /** The batch ends after so many bytes, with one entry at least. */
  readonly maxBytes: number;
}

/** A batch that makes no progress for so long has failed. */
const PROGRESS_WAIT_MS = 3_000;
const END_OF_BATCH = 204;
const NOT_FOUND = 404;

/**
 * One batched direct get, read with an inbox of our own: twice as fast as the client's own iterator, and no consumer is made
 * (a stream holds at most 1,000 of those). May come from a replica that lags.
 *
 * The answers are core messages, which a route between two nats-servers may drop in the middle. Each names the one before it
 * (ADR-31), so a hole is seen. Rejects with an Error for that, and when NATS does not answer, at once when it is away: ask again.
 */
export async function batchGet(
  link: Link,
  query: BatchQuery,
  onEntry: (index: number, message: Msg) => void,
): Promise<void> {
  const { stream, subject, from, limit, maxBytes } = query;
  const start =
    "after" in from ? { seq: from.after + 1 } : { start_time: new Date(Math.max(from.sinceMs, 0)).toISOString() };
  const request = { ...start, next_by_subj: subject, batch: limit, max_bytes: maxBytes };
  if (!link.up) throw new Error(`reading ${stream}: NATS is away`);
  const inbox = newInbox(link.nc);
  return new Promise((resolve, reject) => {
    let last = 0;
    let lastBefore = 0;
    const end = (problem?: string): void => {
      clearInterval(watch);
      unlisten();
      subscription.unsubscribe();
      if (problem === undefined) resolve();
      else reject(new Error(`reading ${stream}: ${problem}`));
    };
    const watch = setInterval(() => {
      if (last === lastBefore) end(`no answer in ${PROGRESS_WAIT_MS} ms`);
      lastBefore = last;
    }, PROGRESS_WAIT_MS);
    const unlisten = link.onChange((up) => {
      if (!up) end("NATS went away"); // the question is lost, or the answer
    });
    const subscription = link.nc.subscribe(inbox, {
      callback: (error, message: Msg) => {
        if (error) return end(error.message);
        const { status, sequence, lastSequence } = readEntryHeaders(message);
        if (status === NOT_FOUND) return end();
        if (status !== 0 && status !== END_OF_BATCH) return end(`status ${status}`);
        if (lastSequence !== last)
          return end(`the answer after ${last} went missing, ${lastSequence} came before this`);
        if (status === END_OF_BATCH) return end();
        last = sequence;
        onEntry(sequence, message);
      },
    });
    try {
      link.nc.publish(`$JS.API.DIRECT.GET.${stream}`, JSON.stringify(request), { reply: inbox });
    } catch (error) {
      end(String(error));
    }
  });
}
