import { type Environment, loadConfig } from "@bimip/runtime";
import { PUSH_SETTINGS, pushConfig } from "./push/push-config.js";

/**
 * What the router reads from the environment; packages/runtime documents each. `push` is undefined when no provider is
 * configured.
 *
 * @throws ConfigError when a value does not parse, or a push provider is configured by halves
 */
export function readConfig(env?: Environment) {
  const config = loadConfig(["NATS_URL", "BIMIP_UNKNOWN_RECIPIENT", ...PUSH_SETTINGS], env);
  return { ...config, push: pushConfig(config) };
}

export type RouterConfig = ReturnType<typeof readConfig>;
