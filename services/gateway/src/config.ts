import { ACCESS_SETTINGS } from "@bimip/nats";
import { ConfigError, loadConfig } from "@bimip/runtime";
import { doorProblems } from "./door/door-problems.js";

/**
 * What the gateway reads from the environment; packages/runtime documents each.
 *
 * @throws ConfigError also where no setting says what tokens are verified with, or where one is missing that another needs
 */
export function readConfig(env?: NodeJS.ProcessEnv) {
  const config = loadConfig(
    [
      ...ACCESS_SETTINGS,
      "BIMIP_REPLICAS",
      "BIMIP_HOST",
      "BIMIP_PORT",
      "BIMIP_NODE",
      "BIMIP_JWT_SECRET",
      "BIMIP_JWT_KEY_FILES",
      "BIMIP_JWKS_URL",
      "BIMIP_JWKS_REFRESH_S",
      "BIMIP_JWKS_KEEP_S",
      "BIMIP_JWT_ALGORITHMS",
      "BIMIP_JWT_ISSUER",
      "BIMIP_JWT_AUDIENCE",
      "BIMIP_JWT_CLOCK_SKEW_S",
      "BIMIP_JWT_MAX_LIFETIME_S",
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
      "BIMIP_ADMIN_PORT",
      "BIMIP_TLS_CERT_FILE",
      "BIMIP_TLS_KEY_FILE",
      "BIMIP_ALLOWED_ORIGINS",
      "BIMIP_TRUSTED_PROXIES",
      "BIMIP_CLIENT_ADDRESS",
      "BIMIP_MAX_CONNECTIONS",
      "BIMIP_MAX_CONNECTIONS_PER_ADDRESS",
      "BIMIP_MAX_CONNECTIONS_PER_USER",
      "BIMIP_MAX_UNAUTHENTICATED",
      "BIMIP_MAX_UNAUTHENTICATED_PER_ADDRESS",
      "BIMIP_RATE_CONNECTS",
      "BIMIP_RATE_MESSAGES",
      "BIMIP_RATE_MESSAGES_USER",
      "BIMIP_RATE_SIGNALS",
      "BIMIP_RATE_SIGNALS_USER",
      "BIMIP_RATE_AWARENESS",
      "BIMIP_RATE_AWARENESS_USER",
      "BIMIP_RATE_LOCATION",
      "BIMIP_RATE_LOCATION_USER",
      "BIMIP_RATE_OTHER",
      "BIMIP_RATE_OTHER_USER",
      "BIMIP_RATE_BYTES",
      "BIMIP_RATE_BYTES_USER",
      "BIMIP_ABUSE_REFUSALS",
      "BIMIP_ABUSE_WINDOW_S",
      "BIMIP_SHED_LAG_MS",
      "BIMIP_SHED_MEMORY_BYTES",
    ],
    env,
  );
  const problems = doorProblems(config);
  const { BIMIP_JWT_SECRET: secret, BIMIP_JWT_KEY_FILES: files, BIMIP_JWKS_URL: jwks } = config;
  if (secret === undefined && files.length === 0 && jwks === undefined) {
    problems.push("one of BIMIP_JWT_SECRET, BIMIP_JWT_KEY_FILES and BIMIP_JWKS_URL is required");
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

export type GatewayConfig = ReturnType<typeof readConfig>;
