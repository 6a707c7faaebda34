import type { Metrics } from "@bimip/runtime";

export type PushMetrics = ReturnType<typeof createPushMetrics>;

export function createPushMetrics(metrics: Metrics) {
  return {
    pushes: metrics.counter({
      name: "bimip_router_pushes_total",
      help: "Tries to push, by provider (webhook, web_push) and outcome (ok, failed, gone, refused).",
      labelNames: ["provider", "outcome"],
    }),
    dead: metrics.counter({
      name: "bimip_router_push_dead_total",
      help: "Pushes given up and kept in the stream BIMIP_DEAD.",
    }),
    delaySeconds: metrics.histogram({
      name: "bimip_router_push_delay_seconds",
      help: "Time from a message's storage to its push.",
      buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 1_800],
    }),
    marks: metrics.gauge({
      name: "bimip_router_push_marks",
      help: "Users that the router is to look at, now or later.",
    }),
  };
}
