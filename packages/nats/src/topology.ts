import { setTimeout as delay } from "node:timers/promises";
import { JetStreamApiCodes, JetStreamApiError, jetstreamManager, type JetStreamManager } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import type { NatsConnection } from "./connect.js";
import { BUCKETS, logStream, META_KEYS } from "./names.js";
import { bucketConfig, type StreamShape, streamShapes, type TopologyOptions } from "./stream-shapes.js";

/**
 * Makes the streams and buckets, or brings them to the configured shape. May run in several replicas at once.
 *
 * @throws PartitionsMismatch when the installation was made with another number of partitions
 */
export async function ensureTopology(nc: NatsConnection, options: TopologyOptions): Promise<void> {
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const meta = await openBucket(nc, BUCKETS.meta, options.replicas);
  await ensurePartitions(meta, options.partitions);
  for (const shape of streamShapes(options)) await ensureStream(jsm, shape);
  await announceReady(meta);
}

/** Users' logs would not be found: nothing that trying again could mend. */
export class PartitionsMismatch extends Error {}

/** Opens a bucket, making it where it does not exist. What is read of it comes from its leader. */
export async function openBucket(nc: NatsConnection, bucket: string, replicas = 1): Promise<KV> {
  await ensureStream(await jetstreamManager(nc, { checkAPI: false }), bucketConfig(bucket, replicas));
  return new Kvm(nc).open(bucket);
}

async function ensurePartitions(meta: KV, wanted: number): Promise<void> {
  try {
    await meta.create(META_KEYS.partitions, String(wanted));
  } catch {
    // it is there already: another replica, or an earlier start
  }
  const entry = await meta.get(META_KEYS.partitions);
  if (entry === null) throw new Error("the number of partitions cannot be read yet");
  const kept = Number(entry.string());
  if (kept !== wanted) {
    throw new PartitionsMismatch(
      `BIMIP_LOG_PARTITIONS is ${wanted}, but this installation was made with ${kept}: users' logs would not be found`,
    );
  }
}

async function ensureStream(jsm: JetStreamManager, config: StreamShape): Promise<void> {
  try {
    await jsm.streams.update(config.name, config);
  } catch (error) {
    if (!(error instanceof JetStreamApiError)) throw error;
    if (error.code !== JetStreamApiCodes.StreamNotFound)
      throw new Error(`${config.name}: ${error.message}`, { cause: error });
    // Another replica may make it at the same time: an equal configuration is answered as if it were new.
    await jsm.streams.add(config);
  }
}

const READY_KEY = "ready";

async function announceReady(meta: KV): Promise<void> {
  await meta.put(READY_KEY, new Date().toISOString());
}

/** Waits until storage has made the topology; answers with the number of partitions. */
export async function waitForTopology(nc: NatsConnection, options: { signal: AbortSignal }): Promise<number> {
  for (;;) {
    options.signal.throwIfAborted();
    const partitions = await readPartitions(nc).catch(() => undefined);
    if (partitions !== undefined) return partitions;
    await delay(50);
  }
}

/** The number of partitions that this installation was made with; undefined while storage has not made its streams. */
export async function readPartitions(nc: NatsConnection): Promise<number | undefined> {
  const meta = await new Kvm(nc).open(BUCKETS.meta);
  const ready = await meta.get(READY_KEY);
  const partitions = Number((await meta.get(META_KEYS.partitions))?.string());
  return ready === null || !(partitions > 0) ? undefined : partitions;
}

/** How many copies there are of the logs. Waits until NATS can tell. */
export async function waitForReplicas(nc: NatsConnection, options: { signal: AbortSignal }): Promise<number> {
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  for (;;) {
    options.signal.throwIfAborted();
    const info = await jsm.streams.info(logStream(0)).catch(() => undefined);
    if (info !== undefined) return info.config.num_replicas;
    await delay(50);
  }
}
