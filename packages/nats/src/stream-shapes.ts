import { DiscardPolicy, RetentionPolicy, StorageType, type StreamConfig } from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import { BUCKETS, bucketStream, logStream, REPUBLISH, STREAMS, SUBJECTS } from "./names.js";

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

/** What BIMIP asks of a stream; the rest is as nats-server has it. */
export type StreamShape = Partial<StreamConfig> & { readonly name: string };

/** How long logs recognise a repeated id, nanoseconds: nats-server refuses a window that is longer than entries live. */
export function dedupeWindowNs({ dedupeWindowS, logMaxAgeS }: Pick<TopologyOptions, "dedupeWindowS" | "logMaxAgeS">) {
  return nanos((logMaxAgeS === 0 ? dedupeWindowS : Math.min(dedupeWindowS, logMaxAgeS)) * 1_000);
}

/** Nothing but age takes anything away, and what is acknowledged is stored. */
const KEEPS_ALL = { max_msgs: -1, max_bytes: -1, no_ack: false } as const;

/**
 * One partition of the logs. Few streams, many subjects: never a stream or a consumer per user. `discard: old` with no
 * size limit: nothing but age takes an entry away. Direct gets serve replay; republish is the live path.
 */
export function logStreamConfig(partition: number, options: TopologyOptions): StreamShape {
  return {
    name: logStream(partition),
    subjects: [SUBJECTS.logsOfPartition(partition)],
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    storage: StorageType.File,
    ...KEEPS_ALL,
    num_replicas: options.replicas,
    max_msgs_per_subject: -1,
    duplicate_window: dedupeWindowNs(options),
    max_age: nanos(options.logMaxAgeS * 1_000),
    allow_direct: true,
    republish: REPUBLISH,
  };
}

/** One mark per user who may have to be pushed to: a newer one replaces the older, so it never grows beyond the users. */
function pushStreamConfig({ replicas }: TopologyOptions): StreamShape {
  return {
    name: STREAMS.push,
    subjects: [SUBJECTS.pushMarks],
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    storage: StorageType.File,
    ...KEEPS_ALL,
    num_replicas: replicas,
    max_msgs_per_subject: 1,
  };
}

const DEAD_MAX_AGE_MS = 7 * 24 * 3_600 * 1_000;

/** Pushes that were given up, for operators to look at. */
function deadStreamConfig({ replicas }: TopologyOptions): StreamShape {
  return {
    name: STREAMS.dead,
    subjects: [SUBJECTS.pushesDead],
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    storage: StorageType.File,
    ...KEEPS_ALL,
    num_replicas: replicas,
    max_age: nanos(DEAD_MAX_AGE_MS),
  };
}

/** What every bucket is, as clients of NATS expect it; one value for each key. */
export function bucketConfig(bucket: string, replicas: number): StreamShape {
  return {
    name: bucketStream(bucket),
    subjects: [`$KV.${bucket}.>`],
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.New,
    storage: StorageType.File,
    ...KEEPS_ALL,
    num_replicas: replicas,
    max_msgs_per_subject: 1,
    allow_rollup_hdrs: true,
    deny_delete: true,
    allow_direct: true,
  };
}

/** An entry of the bucket of gateways that is not renewed vanishes after so long. */
const LEASE_MS = 10_000;

/** Every stream and bucket that storage makes: the buckets first, the logs last. */
export function streamShapes(options: TopologyOptions): StreamShape[] {
  const bucket = (name: string): StreamShape => bucketConfig(name, options.replicas);
  // A bucket whose entries may each have a time to live.
  const ttlBucket = (name: string): StreamShape => ({ ...bucket(name), allow_msg_ttl: true });
  return [
    bucket(BUCKETS.meta),
    bucket(BUCKETS.users),
    bucket(BUCKETS.receipts),
    { ...bucket(BUCKETS.gateways), max_age: nanos(LEASE_MS) },
    // Its entries can be changed two at once: both sides of a relation (ADR-50); and vanish when nothing is left of it.
    { ...ttlBucket(BUCKETS.awareness), allow_atomic: true },
    // Gateways hear that something was written, and read it themselves: they may not make consumers.
    { ...ttlBucket(BUCKETS.revocations), republish: REVOKED_REPUBLISH },
    ttlBucket(BUCKETS.refresh),
    pushStreamConfig(options),
    deadStreamConfig(options),
    ...Array.from({ length: options.partitions }, (_, partition) => logStreamConfig(partition, options)),
  ];
}

const REVOKED_REPUBLISH = { src: `$KV.${BUCKETS.revocations}.>`, dest: SUBJECTS.revoked, headers_only: true } as const;

/** Names of all these streams. */
export function streamNames(partitions: number): string[] {
  return streamShapes({ partitions, replicas: 1, dedupeWindowS: 1, logMaxAgeS: 0 }).map(({ name }) => name);
}
