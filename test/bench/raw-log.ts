import { createInbox } from "@nats-io/nats-core";
import { jetstreamManager } from "@nats-io/jetstream";
import { logStream, type NatsConnection, partitionOf, readEntryHeaders, SUBJECTS } from "@bimip/nats";
import { decodeFrame, encodeIdentity, toStored } from "@bimip/protocol";
import { MarkedMessage } from "./marked-message.js";

export interface RawLogOptions {
  readonly eid: string;
  readonly partitions: number;
  readonly count: number;
}

const IN_FLIGHT = 500;
const BATCH = 1_000;
const END_OF_BATCH = 204;

/** Writes entries 0 … count-1 into a user's log, past the gateway; resolves with their size in bytes when all are stored. */
export async function fillLog(nc: NatsConnection, o: RawLogOptions & { payloadBytes: number }): Promise<number> {
  const subject = SUBJECTS.log(partitionOf(o.eid, o.partitions), o.eid);
  const from = encodeIdentity({ eid: "filler@bench", device: "filler", node: "bench" });
  const messages = new MarkedMessage({ to: o.eid, payloadBytes: o.payloadBytes });
  const inbox = createInbox();
  let [sent, stored, bytes] = [0, 0, 0];
  await new Promise<void>((resolve) => {
    const publish = (): void => {
      const entry = toStored(decodeFrame(messages.frame(sent++)), { from, timestampMs: Date.now() });
      bytes += entry.length;
      nc.publish(subject, entry, { reply: inbox });
    };
    const subscription = nc.subscribe(inbox, {
      callback: () => {
        if (++stored === o.count) {
          subscription.unsubscribe();
          resolve();
        } else if (sent < o.count) publish();
      },
    });
    while (sent < Math.min(IN_FLIGHT, o.count)) publish();
  });
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const { subjects } = (
    await jsm.streams.info(logStream(partitionOf(o.eid, o.partitions)), { subjects_filter: subject })
  ).state;
  if (subjects?.[subject] !== o.count) throw new Error(`${subjects?.[subject]} of ${o.count} entries were stored`);
  return bytes;
}

/** Reads the whole log by batched direct gets, one after another, and only counts: messages a second. */
export async function measureRawRead(nc: NatsConnection, { eid, partitions, count }: RawLogOptions): Promise<number> {
  const partition = partitionOf(eid, partitions);
  const startedMs = performance.now();
  let [read, seq] = [0, 1];
  while (read < count) {
    const request = JSON.stringify({ seq, next_by_subj: SUBJECTS.log(partition, eid), batch: BATCH });
    const inbox = createInbox();
    seq = await new Promise<number>((resolve, reject) => {
      const subscription = nc.subscribe(inbox, {
        callback: (_error, message) => {
          if (message.data.length > 0) {
            read++;
            return;
          }
          subscription.unsubscribe();
          const { status, lastSequence } = readEntryHeaders(message);
          if (status === END_OF_BATCH) resolve(lastSequence + 1);
          else reject(new Error(`batched direct get: status ${status}`));
        },
      });
      nc.publish(`$JS.API.DIRECT.GET.${logStream(partition)}`, request, { reply: inbox });
    });
  }
  return (count * 1_000) / (performance.now() - startedMs);
}
