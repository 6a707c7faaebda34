import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { CONSUMERS, createLogReader, type Link, LogEpochs, STREAMS } from "@bimip/nats";
import type { Logger, Metrics } from "@bimip/runtime";
import { consume, markConsumerConfig, unpin } from "./consumers.js";
import { Look } from "./look.js";
import { Marks } from "./marks.js";
import { createPushMetrics } from "./metrics.js";
import type { PushConfig } from "./push-config.js";
import { UserStates } from "./user-state.js";
import { startWatch } from "./watch.js";
import { Worker } from "./worker.js";

const MARKS_GAUGE_EVERY_MS = 5_000;
/** Marks asked for at once. Few, since asking again is what keeps the pin: it must not wait behind many. */
const MAX_MARKS = 32;

/**
 * Offline push: messages for users without an online device, or that no device acknowledges, go to the configured
 * providers. docs/push.md tells what receivers and operators must know.
 *
 * @param options.partitions as in the meta bucket
 */
export async function startPush(options: {
  config: PushConfig;
  link: Link;
  partitions: number;
  metrics: Metrics;
  logger: Logger;
}): Promise<{ stop(): Promise<void> }> {
  const { config, link, partitions, logger } = options;
  const { nc } = link;
  const js = jetstream(nc);
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const metrics = createPushMetrics(options.metrics);
  const users = new UserStates(nc);
  const reader = await createLogReader(link, partitions);
  const marks = new Marks(js, jsm);
  const look = new Look({ config, users, marks, reader, js, metrics, logger });
  const { afterMs, concurrency } = config;
  const worker = new Worker({ look, users, marks, afterMs, concurrency, logger });
  const consuming = await consume({
    js,
    jsm,
    stream: STREAMS.push,
    config: markConsumerConfig(config.timeoutMs),
    maxMessages: MAX_MARKS,
    take: (mark) => worker.take(mark),
    onError: (error) => logger.warn({ err: error }, "mark not taken"),
    onUnpinned: () => worker.forget(),
  });
  const epochs = await LogEpochs.create(link, partitions);
  const watch = await startWatch({ js, jsm, marks, epochs, partitions, logger });

  const countMarks = async (): Promise<void> => {
    try {
      const { num_pending: waiting, num_ack_pending: taken } = await jsm.consumers.info(
        STREAMS.push,
        CONSUMERS.pushMarks,
      );
      metrics.marks.set(waiting + taken);
    } catch {
      // NATS is away; the gauge keeps its value
    }
  };
  const gauge = setInterval(() => void countMarks(), MARKS_GAUGE_EVERY_MS);
  await countMarks();

  return {
    async stop() {
      clearInterval(gauge);
      await watch.stop();
      worker.halt();
      await consuming.stop();
      await worker.idle();
      if (consuming.pinned) {
        await unpin(jsm).catch((error: unknown) => logger.warn({ err: error }, "the next replica waits for the pin"));
      }
    },
  };
}
