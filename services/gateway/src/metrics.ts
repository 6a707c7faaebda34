import type { Metrics } from "@bimip/runtime";

/** What the gateway counts. Labels are bounded: stanza kinds and error codes. */
export function createGatewayMetrics(metrics: Metrics, pending = { bytes: 0 }) {
  return {
    pendingBytes: metrics.gauge({
      name: "bimip_gateway_pending_bytes",
      help: "Bytes of messages that wait for their SENT.",
      collect: (gauge) => gauge.set(pending.bytes),
    }),
    connections: metrics.gauge({ name: "bimip_gateway_connections", help: "Open connections." }),
    connectionsRefused: metrics.counter({
      name: "bimip_gateway_connections_refused_total",
      help: "Connections that were not let in, by limit; bad tokens are not among them.",
      labelNames: ["limit"],
    }),
    stanzas: metrics.counter({
      name: "bimip_gateway_stanzas_total",
      help: "Stanzas received from devices, by kind.",
      labelNames: ["kind"],
    }),
    errors: metrics.counter({
      name: "bimip_gateway_errors_total",
      help: "ErrorMessages sent to devices, by code.",
      labelNames: ["code"],
    }),
    refusals: metrics.counter({
      name: "bimip_gateway_refusals_total",
      help: "What was refused, by reason; each has its `audit` line in the log.",
      labelNames: ["reason"],
    }),
    rateRefusals: metrics.counter({
      name: "bimip_gateway_rate_refusals_total",
      help: "Stanzas refused with 429 since they came too fast, by limit and whose it is (session, user).",
      labelNames: ["limit", "of"],
    }),
    abuseClosed: metrics.counter({
      name: "bimip_gateway_abuse_closed_total",
      help: "Sessions ended (4429) since so much of what they sent was refused.",
    }),
    shedding: metrics.gauge({
      name: "bimip_gateway_shedding",
      help: "1 while the gateway refuses work to protect itself, by reason (lag, memory).",
      labelNames: ["reason"],
    }),
    shed: metrics.counter({
      name: "bimip_gateway_shed_total",
      help: "What was refused or dropped meanwhile (connections, messages, awareness, location, typing).",
      labelNames: ["what"],
    }),
    delivered: metrics.counter({ name: "bimip_gateway_delivered_total", help: "Log entries handed to devices." }),
    sentSeconds: metrics.histogram({
      name: "bimip_gateway_sent_seconds",
      help: "From a message's arrival to its SENT.",
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    }),
    catchUp: metrics.gauge({
      name: "bimip_gateway_catch_up_sessions",
      help: "Sessions reading their log instead of live traffic, by reason.",
      labelNames: ["reason"],
    }),
    catchUpStarts: metrics.counter({
      name: "bimip_gateway_catch_up_total",
      help: "Switches from live to reading the log, by reason.",
      labelNames: ["reason"],
    }),
    publishFailures: metrics.counter({
      name: "bimip_gateway_publish_failures_total",
      help: "Attempts to store an entry that failed; each is repeated until its deadline.",
    }),
    receipts: metrics.counter({
      name: "bimip_gateway_receipts_total",
      help: "Receipts stored in authors' logs, by status.",
      labelNames: ["status"],
    }),
    lateRepeats: metrics.counter({
      name: "bimip_gateway_late_repeats_total",
      help: "Repeats recognised after JetStream's dedupe window.",
    }),
    behind: metrics.counter({
      name: "bimip_gateway_behind_total",
      help: "Sessions that the position check found behind their log.",
    }),
    progressFailures: metrics.counter({
      name: "bimip_gateway_progress_failures_total",
      help: "Tries to have acknowledgements stored that failed; they are kept and tried again.",
    }),
    fanoutsLost: metrics.counter({
      name: "bimip_gateway_fanouts_lost_total",
      help: "Holes in what awareness told this gateway; its sessions get new snapshots.",
    }),
    fanouts: metrics.counter({
      name: "bimip_gateway_fanouts_total",
      help: "Fan-outs received from awareness, by kind.",
      labelNames: ["kind"],
    }),
    awarenessDelivered: metrics.counter({
      name: "bimip_gateway_awareness_delivered_total",
      help: "Changes of presence handed to devices.",
    }),
    awarenessOld: metrics.counter({
      name: "bimip_gateway_awareness_old_total",
      help: "Changes of presence and positions dropped for a device that was told a newer one.",
    }),
    snapshots: metrics.counter({
      name: "bimip_gateway_snapshots_total",
      help: "Snapshots of presence handed to devices, by reason.",
      labelNames: ["reason"],
    }),
    cut: metrics.counter({
      name: "bimip_gateway_cut_total",
      help: "Connections ended without a close frame: the peer takes no more bytes, by reason.",
      labelNames: ["reason"],
    }),
    revocations: metrics.gauge({
      name: "bimip_gateway_revocations",
      help: "Revocations of tokens, devices and accounts held in memory.",
    }),
    ended: metrics.counter({
      name: "bimip_gateway_sessions_ended_total",
      help: "Sessions ended by the server for good, by reason (expired, revoked_jti, revoked_device, revoked_user, revoked_itself, logged_out).",
      labelNames: ["reason"],
    }),
    replaced: metrics.counter({
      name: "bimip_gateway_replaced_total",
      help: "Sessions ended by a newer one of the same device.",
    }),
  } as const;
}

export type GatewayMetrics = ReturnType<typeof createGatewayMetrics>;
