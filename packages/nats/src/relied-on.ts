import { nanos } from "@nats-io/nats-core";
import { BUCKETS, bucketStream, logStream } from "./names.js";
import type { StreamPromise } from "./stream-check.js";
import { type StreamShape, streamShapes } from "./stream-shapes.js";

/** What a service other than storage knows of the configuration. */
export interface KnownConfig {
  /** 0 or absent: it does not work with logs. */
  readonly partitions?: number;
  readonly replicas: number;
  /** Absent: it makes no use of the window. */
  readonly dedupeWindowS?: number;
}

const BUCKETS_OF = {
  gateway: [BUCKETS.awareness, BUCKETS.revocations],
  router: [],
  awareness: [BUCKETS.awareness, BUCKETS.gateways],
} as const;

/** The streams that a service relies on, as far as it knows what they should be: storage alone knows all of it. */
export function reliedOn(service: keyof typeof BUCKETS_OF, config: KnownConfig): StreamPromise[] {
  const { partitions = 0, replicas, dedupeWindowS } = config;
  const shapes = streamShapes({ partitions, replicas, dedupeWindowS: dedupeWindowS ?? 0, logMaxAgeS: 0 });
  const buckets = BUCKETS_OF[service].map(bucketStream);
  const logs = Array.from({ length: partitions }, (_, partition) => logStream(partition));
  return shapes
    .filter(({ name }) => buckets.includes(name) || logs.includes(name))
    .map((shape) => ({ shape: logs.includes(shape.name) ? known(shape, dedupeWindowS) : shape, orMore: true }));
}

/** How long entries live is storage's to know. */
function known({ max_age: _storages, ...shape }: StreamShape, dedupeWindowS: number | undefined): StreamShape {
  const { duplicate_window: _unused, ...rest } = shape;
  return dedupeWindowS === undefined ? rest : { ...rest, duplicate_window: nanos(dedupeWindowS * 1_000) };
}
