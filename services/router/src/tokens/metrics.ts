import type { Metrics } from "@bimip/runtime";

export type TokenMetrics = ReturnType<typeof createTokenMetrics>;

export function createTokenMetrics(metrics: Metrics) {
  return {
    revocations: metrics.counter({
      name: "bimip_router_revocations_total",
      help: "Revocations stored, by what is refused (jti, device, user).",
      labelNames: ["what"],
    }),
    refreshes: metrics.counter({
      name: "bimip_router_refreshes_total",
      help: "Questions for new tokens, by outcome (begun, rotated, repeated, reused, revoked, refused, off).",
      labelNames: ["outcome"],
    }),
  };
}
