import type { JetStreamClient, JetStreamManager, JsMsg } from "@nats-io/jetstream";
import { type LogEpochs, logStream } from "@bimip/nats";
import { tokenToName } from "@bimip/protocol";
import type { Logger } from "@bimip/runtime";
import { Coalescer } from "./coalescer.js";
import { consume, logConsumerConfig } from "./consumers.js";
import type { Marks } from "./marks.js";

/** A user gets a mark at once, then at most one in so long. */
const MARK_EVERY_MS = 200;
/** Entries whose mark was not stored are delivered again after so long. */
const REDELIVER_MS = 1_000;
const MAX_MESSAGES = 1_000;

/**
 * Writes a mark for every user whose log has something new. An entry is acknowledged after its mark was stored, so
 * every entry leads to a look that begins after it was stored.
 */
export async function startWatch(options: {
  js: JetStreamClient;
  jsm: JetStreamManager;
  marks: Marks;
  epochs: LogEpochs;
  partitions: number;
  logger: Logger;
}): Promise<{ stop(): Promise<void> }> {
  const { js, jsm, marks, epochs, partitions, logger } = options;
  const waiting = new Coalescer<JsMsg>(MARK_EVERY_MS, async (eid, entries) => {
    try {
      const index = Math.max(...entries.map(({ seq }) => seq));
      await marks.touch(eid, { epoch: await epochs.of(eid), index });
      for (const entry of entries) entry.ack();
    } catch (error) {
      logger.warn({ err: error }, "mark not stored, trying again");
      for (const entry of entries) entry.nak(REDELIVER_MS);
    }
  });
  const consumers = await Promise.all(
    Array.from({ length: partitions }, (_, partition) =>
      consume({
        js,
        jsm,
        stream: logStream(partition),
        config: logConsumerConfig,
        maxMessages: MAX_MESSAGES,
        take: (entry) => waiting.add(eidOf(entry.subject), entry),
        onError: (error) => logger.warn({ err: error, partition }, "new log entries not seen"),
      }),
    ),
  );
  return {
    async stop() {
      await Promise.all(consumers.map((consumer) => consumer.stop()));
      await waiting.end();
    },
  };
}

/** The user of a log's or a mark's subject: its last token. */
export function eidOf(subject: string): string {
  return tokenToName(subject.slice(subject.lastIndexOf(".") + 1));
}
