import type { Counter, Gauge, Metrics } from "@bimip/runtime";

/** What storage counts. */
export interface StorageMetrics {
  readonly gapsTold: Counter<"reason">;
  readonly progressDropped: Counter;
  readonly devicesForgotten: Counter;
  readonly failures: Counter<"procedure">;
  readonly questionsDropped: Counter<"procedure">;
  readonly trimmedEntries: Counter;
  readonly quotaUsedRatioMax: Gauge;
  readonly quotaNearUsers: Gauge;
}

export function createStorageMetrics(metrics: Metrics): StorageMetrics {
  return {
    gapsTold: metrics.counter({
      name: "bimip_storage_gaps_told_total",
      help: "Devices that were told at their resume that something of the log is gone, or may be.",
      labelNames: ["reason"],
    }),
    progressDropped: metrics.counter({
      name: "bimip_storage_progress_dropped_total",
      help: "Acknowledgements that belonged to a log which was recreated since.",
    }),
    devicesForgotten: metrics.counter({
      name: "bimip_storage_devices_forgotten_total",
      help: "Longest unseen devices of users who have more than are kept.",
    }),
    failures: metrics.counter({
      name: "bimip_storage_failures_total",
      help: "Questions left unanswered because NATS or a log failed; they are asked again.",
      labelNames: ["procedure"],
    }),
    questionsDropped: metrics.counter({
      name: "bimip_storage_questions_dropped_total",
      help: "Questions that waited so long for their turn that the caller has given up; they are asked again.",
      labelNames: ["procedure"],
    }),
    trimmedEntries: metrics.counter({
      name: "bimip_storage_trimmed_entries_total",
      help: "Log entries removed because their user was over a limit.",
    }),
    quotaUsedRatioMax: metrics.gauge({
      name: "bimip_storage_quota_used_ratio_max",
      help: "Fullest log in parts of its limit, as the last sweep found it before it trimmed; 1 = at the limit.",
    }),
    quotaNearUsers: metrics.gauge({
      name: "bimip_storage_quota_near_users",
      help: "Users whose log was above 80 % of a limit at the last sweep.",
    }),
  };
}
