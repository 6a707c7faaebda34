import { ACCESS_SETTINGS } from "@bimip/nats";
import { loadConfig } from "@bimip/runtime";

/** What storage reads from the environment; packages/runtime documents each. */
export const readConfig = (env?: NodeJS.ProcessEnv) =>
  loadConfig(
    [
      ...ACCESS_SETTINGS,
      "BIMIP_LOG_PARTITIONS",
      "BIMIP_REPLICAS",
      "BIMIP_DEDUPE_WINDOW_S",
      "BIMIP_LOG_MAX_AGE_S",
      "BIMIP_LOG_MAX_MESSAGES",
      "BIMIP_LOG_MAX_BYTES",
      "BIMIP_RETENTION_SWEEP_S",
    ],
    env,
  );

export type StorageConfig = ReturnType<typeof readConfig>;
