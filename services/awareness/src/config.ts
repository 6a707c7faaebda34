import { ACCESS_SETTINGS } from "@bimip/nats";
import { loadConfig } from "@bimip/runtime";

/** What awareness reads from the environment; packages/runtime documents each. */
export const readConfig = (env?: NodeJS.ProcessEnv) =>
  loadConfig(
    [
      ...ACCESS_SETTINGS,
      "BIMIP_REPLICAS",
      "BIMIP_OFFLINE_GRACE_MS",
      "BIMIP_MAX_CONTACTS",
      "BIMIP_AWARENESS_CONTACTS_PER_SECOND",
    ],
    env,
  );

export type AwarenessConfig = ReturnType<typeof readConfig>;
