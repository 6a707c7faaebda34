import { loadConfig } from "@bimip/runtime";

/** What the gateway reads from the environment; packages/runtime documents each. */
export const readConfig = (env?: NodeJS.ProcessEnv) =>
  loadConfig(
    [
      "NATS_URL",
      "BIMIP_HOST",
      "BIMIP_PORT",
      "BIMIP_NODE",
      "BIMIP_JWT_SECRET",
      "BIMIP_FLOW_CACHE_MS",
      "BIMIP_SEND_DEADLINE_MS",
      "BIMIP_PROGRESS_FLUSH_MS",
      "BIMIP_POSITION_CHECK_S",
      "BIMIP_DEDUPE_WINDOW_S",
      "BIMIP_WEBPUSH_HOSTS",
      "BIMIP_MAX_STANZA_BYTES",
      "BIMIP_MAX_FRAME_BYTES",
      "BIMIP_MAX_BACKPRESSURE_BYTES",
      "BIMIP_MAX_PENDING_PER_SESSION",
      "BIMIP_MAX_PENDING_BYTES_PER_SESSION",
      "BIMIP_MAX_PENDING_BYTES",
      "BIMIP_AUTH_TIMEOUT_MS",
      "BIMIP_IDLE_TIMEOUT_S",
    ],
    env,
  );

export type GatewayConfig = ReturnType<typeof readConfig>;
