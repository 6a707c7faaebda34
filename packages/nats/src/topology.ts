import { setTimeout as delay } from "node:timers/promises";
import {
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  jetstreamManager,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import { nanos } from "@nats-io/nats-core";
import type { NatsConnection } from "./connect.js";
import { BUCKETS, logStream, META_KEYS, REPUBLISH, STREAMS, SUBJECTS } from "./names.js";

export interface TopologyOptions {
  /** Chosen at first start, then fixed. */
  readonly partitions: number;
  /** Copies of each stream and bucket: 1, 3 or 5. */
  readonly replicas: number;
  /** How long a repeated id is answered with the first index. Costs some 160 B of server memory an id. */
  readonly dedupeWindowS: number;
  /** Entries older than this expire; 0 = never. */
  readonly logMaxAgeS: number;
}

type StreamShape = Partial<StreamConfig> & { name: string };

/**
 * One partition of the logs. Few streams, many subjects: never a stream or a consumer per user. `discard: old` with no
 * size limit: nothing but age takes an entry away. Direct gets serve replay; republish is the live path.
 */
export function logStreamConfig(partition: number, options: TopologyOptions): StreamShape {
  const { dedupeWindowS, logMaxAgeS } = options;
  return {
    name: logStream(partition),
    subjects: [SUBJECTS.logsOfPartition(partition)],
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    storage: StorageType.File,
    num_replicas: options.replicas,
    // nats-server refuses a window that is longer than entries live.
    duplicate_window: nanos((logMaxAgeS === 0 ? dedupeWindowS : Math.min(dedupeWindowS, logMaxAgeS)) * 1_000),
    max_age: nanos(logMaxAgeS * 1_000),
    allow_direct: true,
    republish: REPUBLISH,
  };
}

/** One mark per user who may have to be pushed to: a newer one replaces the older, so it never grows beyond the users. */
function pushStreamConfig(options: TopologyOptions): StreamShape {
  return {
    name: STREAMS.push,
    subjects: [SUBJECTS.pushMarks],
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    storage: StorageType.File,
    num_replicas: options.replicas,
    max_msgs_per_subject: 1,
  };
}

const DEAD_MAX_AGE_MS = 7 * 24 * 3_600 * 1_000;

/** Pushes that were given up, for operators to look at. */
function deadStreamConfig(options: TopologyOptions): StreamShape {
  return {
    name: STREAMS.dead,
    subjects: [SUBJECTS.pushesDead],
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    storage: StorageType.File,
    num_replicas: options.replicas,
    max_age: nanos(DEAD_MAX_AGE_MS),
  };
}

/** An entry of the bucket of gateways that is not renewed vanishes after so long. */
const LEASE_MS = 10_000;

/** A bucket whose entries can be changed two at once: both sides of a relation (ADR-50); and vanish when nothing is left of it. */
function awarenessBucketConfig(options: TopologyOptions): StreamShape {
  return {
    name: `KV_${BUCKETS.awareness}`,
    subjects: [`$KV.${BUCKETS.awareness}.>`],
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.New,
    storage: StorageType.File,
    num_replicas: options.replicas,
    max_msgs_per_subject: 1,
    allow_rollup_hdrs: true,
    deny_delete: true,
    allow_direct: true,
    allow_atomic: true,
    allow_msg_ttl: true,
  };
}

/**
 * Makes the streams and buckets, or brings them to the configured shape. May run in several replicas at once.
 *
 * @throws PartitionsMismatch when the installation was made with another number of partitions
 */
export async function ensureTopology(nc: NatsConnection, options: TopologyOptions): Promise<void> {
  const jsm = await jetstreamManager(nc);
  const meta = await openBucket(nc, BUCKETS.meta, options.replicas);
  const partitions = await ensurePartitions(meta, options.partitions);
  for (const bucket of [BUCKETS.users, BUCKETS.receipts]) await openBucket(nc, bucket, options.replicas);
  await new Kvm(nc).create(BUCKETS.gateways, { history: 1, replicas: options.replicas, ttl: LEASE_MS });
  await ensureStream(jsm, awarenessBucketConfig(options));
  await ensureStream(jsm, pushStreamConfig(options));
  await ensureStream(jsm, deadStreamConfig(options));
  for (let partition = 0; partition < partitions; partition++) {
    await ensureStream(jsm, logStreamConfig(partition, { ...options, partitions }));
  }
  await announceReady(meta);
}

/** Users' logs would not be found: nothing that trying again could mend. */
export class PartitionsMismatch extends Error {}

/** Opens a bucket, making it where it does not exist. */
export async function openBucket(nc: NatsConnection, bucket: string, replicas = 1): Promise<KV> {
  return new Kvm(nc).create(bucket, { history: 1, replicas, storage: StorageType.File });
}

async function ensurePartitions(meta: KV, wanted: number): Promise<number> {
  try {
    await meta.create(META_KEYS.partitions, String(wanted));
  } catch {
    // it is there already: another replica, or an earlier start
  }
  const entry = await meta.get(META_KEYS.partitions);
  if (entry === null) throw new Error("the number of partitions cannot be read yet"); // answered by a replica that lags
  const kept = Number(entry.string());
  if (kept !== wanted) {
    throw new PartitionsMismatch(
      `BIMIP_LOG_PARTITIONS is ${wanted}, but this installation was made with ${kept}: users' logs would not be found`,
    );
  }
  return kept;
}

async function ensureStream(jsm: JetStreamManager, config: StreamShape): Promise<void> {
  try {
    await jsm.streams.update(config.name, config);
  } catch (error) {
    if (!(error instanceof JetStreamApiError) || error.code !== JetStreamApiCodes.StreamNotFound) throw error;
    // Another replica may make it at the same time: an equal configuration is answered as if it were new.
    await jsm.streams.add(config);
  }
}

const READY_KEY = "ready";

async function announceReady(meta: KV): Promise<void> {
  await meta.put(READY_KEY, new Date().toISOString());
}

/** Waits until storage has made the topology, and reads its shape. */
export async function waitForTopology(
  nc: NatsConnection,
  options: { signal: AbortSignal },
): Promise<{ partitions: number; replicas: number }> {
  for (;;) {
    options.signal.throwIfAborted();
    const ready = await readReady(nc).catch(() => undefined);
    if (ready !== undefined) return ready;
    await delay(50);
  }
}

async function readReady(nc: NatsConnection): Promise<{ partitions: number; replicas: number } | undefined> {
  const meta = await new Kvm(nc).open(BUCKETS.meta);
  const ready = await meta.get(READY_KEY);
  const partitions = Number((await meta.get(META_KEYS.partitions))?.string());
  if (ready === null || !(partitions > 0)) return undefined;
  const { config } = await (await jetstreamManager(nc)).streams.info(logStream(0));
  return { partitions, replicas: config.num_replicas };
}
