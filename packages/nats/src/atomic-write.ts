import { JetStreamApiCodes, PubHeaders } from "@nats-io/jetstream";
import { headers, type MsgHdrs, nuid } from "@nats-io/nats-core";
import type { NatsConnection } from "./connect.js";
import { createTurns } from "./turns.js";

/** One key of an atomic write. */
export interface AtomicEntry {
  readonly key: string;
  readonly bytes: Uint8Array;
  /** As read, `NO_REVISION` for a key that held nothing. */
  readonly revision: number;
  /** The value vanishes after so many seconds; absent: never. The bucket's stream must allow it (`allow_msg_ttl`). */
  readonly ttlS?: number;
}

/**
 * Writes all entries at once, or none: if each key still has its revision. Answers with the new revisions in the same order,
 * undefined when somebody else wrote in between. Rejects with an Error when the bucket did not answer, or refused for another
 * reason: then all may have been written all the same.
 */
export type AtomicWrite = (entries: readonly AtomicEntry[]) => Promise<readonly number[] | undefined>;

// Of ADR-50, which the client library's own batches take two round trips for.
const BATCH_ID = "Nats-Batch-Id";
const BATCH_SEQUENCE = "Nats-Batch-Sequence";
const BATCH_COMMIT = "Nats-Batch-Commit";
/** ADR-43. */
const TTL = "Nats-TTL";

/** The server has places for some 50 batches under way of a stream, whoever writes them. */
const PLACES = 16;
const TIMEOUT_MS = 2_000;

/** What the server answers to the last of a batch. */
interface BatchAck {
  /** Of the last entry; the others' lie before it, without a gap. */
  readonly seq?: number;
  readonly count?: number;
  readonly error?: { readonly err_code?: number; readonly description?: string };
}

/**
 * @param bucket made with `allow_atomic`, see topology.ts
 * @param options.timeoutMs an unanswered write has an unknown end after so long; 2,000 unless told otherwise
 */
export function createAtomicWrite(
  nc: NatsConnection,
  bucket: string,
  { timeoutMs = TIMEOUT_MS }: { timeoutMs?: number } = {},
): AtomicWrite {
  const inTurn = createTurns(PLACES);
  const subjectOf = (key: string): string => `$KV.${bucket}.${key}`;
  return (entries) =>
    inTurn(async () => {
      const last = entries.at(-1);
      if (last === undefined) return [];
      const batch = nuid.next();
      for (const [at, entry] of entries.slice(0, -1).entries()) {
        nc.publish(subjectOf(entry.key), entry.bytes, { headers: headersOf(entry, batch, at + 1) });
      }
      const ending = headersOf(last, batch, entries.length);
      ending.set(BATCH_COMMIT, "1");
      const answer = await nc.request(subjectOf(last.key), last.bytes, { headers: ending, timeout: timeoutMs });
      return revisionsOf(answer.json<BatchAck>(), entries.length);
    });
}

function headersOf({ revision, ttlS }: AtomicEntry, batch: string, sequence: number): MsgHdrs {
  const made = headers();
  made.set(BATCH_ID, batch);
  made.set(BATCH_SEQUENCE, String(sequence));
  made.set(PubHeaders.ExpectedLastSubjectSequenceHdr, String(revision));
  if (ttlS !== undefined) made.set(TTL, `${ttlS}s`);
  return made;
}

function revisionsOf({ seq, count, error }: BatchAck, length: number): readonly number[] | undefined {
  if (error?.err_code === JetStreamApiCodes.StreamWrongLastSequence) return undefined;
  if (error?.err_code === JetStreamApiCodes.StreamWrongLastSequenceUnknown) return undefined;
  if (error !== undefined) throw new Error(`atomic write refused: ${error.description} (${error.err_code})`);
  if (seq === undefined || count !== length)
    throw new Error(`atomic write of ${length} answered with ${count} of them`);
  return Array.from({ length }, (_, at) => seq - length + 1 + at);
}
