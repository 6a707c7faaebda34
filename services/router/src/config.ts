import { ACCESS_SETTINGS } from "@bimip/nats";
import { type Environment, loadConfig } from "@bimip/runtime";
import { PUSH_SETTINGS, pushConfig } from "./push/push-config.js";
import { TOKEN_SETTINGS, tokenConfig } from "./tokens/token-config.js";

/**
 * What the router reads from the environment; packages/runtime documents each. `push` is undefined when no provider is
 * configured.
 *
 * @throws ConfigError when a value does not parse, or a push provider is configured by halves
 */
export function readConfig(env?: Environment) {
  const config = loadConfig(
    [...ACCESS_SETTINGS, "BIMIP_REPLICAS", "BIMIP_UNKNOWN_RECIPIENT", ...PUSH_SETTINGS, ...TOKEN_SETTINGS],
    env,
  );
  return { ...config, push: pushConfig(config), tokens: tokenConfig(config) };
}

export type RouterConfig = ReturnType<typeof readConfig>;
