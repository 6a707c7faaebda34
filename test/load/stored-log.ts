import { jetstreamManager } from "@nats-io/jetstream";
import { logStream, type NatsConnection, partitionOf, SUBJECTS } from "@bimip/nats";
import { peekId } from "@bimip/protocol";

/** What NATS itself says about one entry of a log. */
export interface Stored {
  readonly index: number;
  /** The stanza's id. */
  readonly id: string;
  /** Epoch milliseconds with a fraction, by nats-server's clock. */
  readonly storedAtMs: number;
}

const BATCH = 500;

/** A user's whole log, read past all services: the truth that a load is judged by. */
export async function readStoredLog(nc: NatsConnection, eid: string, partitions: number): Promise<Stored[]> {
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const partition = partitionOf(eid, partitions);
  const stream = logStream(partition);
  const subject = SUBJECTS.log(partition, eid);
  const head = (await jsm.streams.getMessage(stream, { last_by_subj: subject }))?.seq ?? 0;
  const entries: Stored[] = [];
  for (let last = 0; last < head; last = entries.at(-1)?.index ?? head) {
    const request = { seq: last + 1, next_by_subj: subject, batch: BATCH };
    for await (const { seq: index, data, timestamp } of await jsm.direct.getBatch(stream, request)) {
      entries.push({ index, id: peekId(data) ?? "", storedAtMs: epochMs(timestamp) });
    }
  }
  return entries;
}

/** RFC 3339 with nanoseconds; Date keeps milliseconds only. */
function epochMs(timestamp: string): number {
  const fraction = /\.(\d+)/.exec(timestamp)?.[1] ?? "0";
  return Math.floor(Date.parse(timestamp) / 1_000) * 1_000 + Number(`0.${fraction}`) * 1_000;
}

/** Now, on the clock of `storedAtMs`. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}
