import type { Counter, Gauge, Histogram, Metrics } from "@bimip/runtime";

/** What awareness counts. No label names a user or a place. */
export interface AwarenessMetrics {
  readonly sessionEvents: Counter<"event">;
  readonly fanouts: Counter;
  readonly told: Counter;
  readonly retold: Counter;
  readonly swept: Counter;
  readonly reopened: Counter;
  readonly stale: Counter;
  readonly failures: Counter<"procedure">;
  readonly tellSeconds: Histogram;
  readonly users: Gauge;
}

export function createAwarenessMetrics(metrics: Metrics, userCount: () => number): AwarenessMetrics {
  return {
    sessionEvents: metrics.counter({
      name: "bimip_awareness_session_events_total",
      help: "Sessions opened and ended.",
      labelNames: ["event"],
    }),
    fanouts: metrics.counter({
      name: "bimip_awareness_fanouts_total",
      help: "Messages to gateways that carry presence and the like.",
    }),
    told: metrics.counter({
      name: "bimip_awareness_told_total",
      help: "Users told of something, each counted once for a gateway that holds them.",
    }),
    retold: metrics.counter({
      name: "bimip_awareness_retold_total",
      help: "Changes told again: a replica fell silent before it told them, or NATS was away.",
    }),
    swept: metrics.counter({
      name: "bimip_awareness_swept_total",
      help: "Sessions that ended with their gateway.",
    }),
    reopened: metrics.counter({
      name: "bimip_awareness_reopened_total",
      help: "Sessions registered again on their gateway's word, since they had been swept or lost.",
    }),
    stale: metrics.counter({
      name: "bimip_awareness_stale_total",
      help: "Sessions found open beside a newer one of their device, since the word that replaced them got lost.",
    }),
    failures: metrics.counter({
      name: "bimip_awareness_failures_total",
      help: "Questions left unanswered because NATS failed; they are asked again.",
      labelNames: ["procedure"],
    }),
    tellSeconds: metrics.histogram({
      name: "bimip_awareness_tell_seconds",
      help: "From the moment that a change is known to the last message to a gateway.",
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    }),
    users: metrics.gauge({
      name: "bimip_awareness_users",
      help: "Users whose presence is kept in memory.",
      collect: (gauge) => gauge.set(userCount()),
    }),
  };
}
