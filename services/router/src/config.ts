import { loadConfig } from "@bimip/runtime";

/** What the router reads from the environment; packages/runtime documents each. */
export const readConfig = (env?: NodeJS.ProcessEnv) => loadConfig(["NATS_URL", "BIMIP_UNKNOWN_RECIPIENT"], env);

export type RouterConfig = ReturnType<typeof readConfig>;
