import { settings } from "@bimip/runtime";

/** Those whose 0 is "no limit". */
const LIMIT = /^BIMIP_(?:MAX_CONNECTIONS|MAX_UNAUTHENTICATED|ABUSE_REFUSALS|SHED_LAG_MS)(?:_|$)/;

/**
 * The limits as the development profile has them: rates that the environment does not set are `off`, numbers of
 * connections 0, so that a load test on one machine is not taken for an attack; nor is a machine that does other things as
 * well taken for overloaded. Only those; the environment is not in it.
 */
export function developmentLimits(env: NodeJS.ProcessEnv): Record<string, string> {
  const unset = Object.keys(settings).filter((name) => !env[name]);
  return Object.fromEntries([
    ...unset.filter((name) => name.startsWith("BIMIP_RATE_")).map((name) => [name, "off"]),
    ...unset.filter((name) => LIMIT.test(name)).map((name) => [name, "0"]),
  ]);
}
