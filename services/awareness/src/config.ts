import { loadConfig } from "@bimip/runtime";

/** What awareness reads from the environment; packages/runtime documents each. */
export const readConfig = (env?: NodeJS.ProcessEnv) => loadConfig(["NATS_URL"], env);

export type AwarenessConfig = ReturnType<typeof readConfig>;
