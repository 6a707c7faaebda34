import { setTimeout as delay } from "node:timers/promises";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import {
  BUCKETS,
  CasBucket,
  connectService,
  createLogReader,
  ensureTopology,
  LogAdmin,
  LogEpochs,
  PartitionsMismatch,
  PROCEDURES,
  type Procedure,
  QUEUES,
  serve,
  streamShapes,
  watchNatsConfig,
} from "@bimip/nats";
import type { RunningService, ServiceContext } from "@bimip/runtime";
import type { StorageConfig } from "./config.js";
import { erase } from "./erase.js";
import { history } from "./history.js";
import { createStorageMetrics } from "./metrics.js";
import { mergeProgress } from "./progress.js";
import { pushState, setSubscription } from "./push.js";
import { ReceiptStore } from "./receipt-store.js";
import { resume } from "./resume.js";
import { Retention } from "./retention.js";
import { unread } from "./unread.js";
import { UserStore } from "./user-store.js";

export { readConfig } from "./config.js";

const RETRY_MS = 500;
/** Whoever asks storage gives up after 2 s or later, but for the router, which waits 1 s for a badge. */
const MAX_WAIT_MS = 1_500;
const MAX_BADGE_WAIT_MS = 750;
/** Questions that go through logs, worked on at once: each may hold some megabytes. */
const MAX_SCANS = 16;

/**
 * Owns the streams and buckets: makes them, brings them to the configured shape, and makes them again where NATS came
 * back without them. Answers what is asked of users' logs and of how far their devices got.
 */
export async function createStorage(config: StorageConfig, context: ServiceContext): Promise<RunningService> {
  const { logger, health, signal } = context;
  const { link, access } = await connectService("storage", config, context);
  const topology = {
    partitions: config.BIMIP_LOG_PARTITIONS,
    replicas: config.BIMIP_REPLICAS,
    dedupeWindowS: config.BIMIP_DEDUPE_WINDOW_S,
    logMaxAgeS: config.BIMIP_LOG_MAX_AGE_S,
  };
  for (let done = false; !done; ) {
    signal.throwIfAborted();
    try {
      await ensureTopology(link.nc, topology);
      done = true;
    } catch (error) {
      if (error instanceof PartitionsMismatch) throw error;
      health.set("topology", false, textOf(error));
      logger.warn({ err: error }, "topology not confirmed, trying again"); // such as a cluster that still elects
      await delay(RETRY_MS);
    }
  }
  logger.info(topology, "streams and buckets are as configured");
  const promises = streamShapes(topology).map((shape) => ({ shape }));
  const unwatch = watchNatsConfig({ link, access, promises, context });

  const metrics = createStorageMetrics(context.metrics);
  const reader = await createLogReader(link, topology.partitions);
  const epochs = await LogEpochs.create(link, topology.partitions);
  const store = new UserStore({
    bucket: await CasBucket.open(link.nc, BUCKETS.users),
    epochs,
    onForgotten(eid, devices) {
      metrics.devicesForgotten.inc(devices.length);
      logger.warn({ eid, devices }, "the user has more devices than are kept, the longest unseen are forgotten");
    },
  });
  const receipts = new ReceiptStore(await CasBucket.open(link.nc, BUCKETS.receipts), epochs);
  const admin = await LogAdmin.create(link, topology.partitions);
  const answer = <Req extends DescMessage, Res extends DescMessage>(
    procedure: Procedure<Req, Res>,
    handle: (request: MessageShape<Req>) => Promise<MessageInitShape<Res>>,
    { places, maxWaitMs = MAX_WAIT_MS }: { places?: number; maxWaitMs?: number } = {},
  ): void => {
    const label = { procedure: procedure.subject };
    const onError = (error: unknown): void => {
      metrics.failures.inc(label);
      logger.warn({ err: error, ...label }, "question not answered");
    };
    // Not logged: in a storm of reconnects these are thousands.
    const onDropped = (): void => metrics.questionsDropped.inc(label);
    serve(link.nc, procedure, QUEUES.storage, handle, onError, {
      maxWaitMs,
      onDropped,
      ...(places === undefined ? {} : { places }),
    });
  };
  const maxAgeMs = config.BIMIP_LOG_MAX_AGE_S * 1_000;
  answer(PROCEDURES.resume, (request) => resume({ store, reader, epochs, metrics, maxAgeMs }, request));
  answer(PROCEDURES.progress, (request) => mergeProgress({ store, receipts, epochs, metrics }, request));
  answer(PROCEDURES.receipts, (request) => receipts.given(request));
  answer(PROCEDURES.history, (request) => history(reader, request), { places: MAX_SCANS });
  answer(PROCEDURES.unread, (request) => unread(store, reader, request), {
    places: MAX_SCANS,
    maxWaitMs: MAX_BADGE_WAIT_MS,
  });
  answer(PROCEDURES.subscription, (request) => setSubscription(store, request));
  answer(PROCEDURES.pushState, (request) => pushState(store, request));
  answer(PROCEDURES.erase, (request) => erase({ link, store, admin, reader, receipts }, request));
  await link.nc.flush();
  health.set("topology", true);

  const restore = async (): Promise<void> => {
    while (link.up && !signal.aborted) {
      try {
        await ensureTopology(link.nc, topology);
        health.set("topology", true);
        return;
      } catch (error) {
        logger.warn({ err: error }, "topology not confirmed, trying again");
        await delay(RETRY_MS);
      }
    }
  };
  link.onChange((up) => {
    if (!up) return health.set("topology", false, "NATS is away");
    void restore();
  });

  const retention = new Retention({
    link,
    store,
    admin,
    reader,
    metrics,
    logger,
    partitions: topology.partitions,
    maxMessages: config.BIMIP_LOG_MAX_MESSAGES,
    maxBytes: config.BIMIP_LOG_MAX_BYTES,
    sweepMs: config.BIMIP_RETENTION_SWEEP_S * 1_000,
  });
  const stopping = new AbortController();
  const sweeping = retention.run(stopping.signal);
  return {
    async stop() {
      unwatch();
      stopping.abort();
      await sweeping;
      await link.nc.drain();
    },
  };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
