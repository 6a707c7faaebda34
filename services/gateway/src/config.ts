import { ACCESS_SETTINGS } from "@bimip/nats";
import { ConfigError, loadConfig, type Settings } from "@bimip/runtime";
import { doorProblems } from "./door/door-problems.js";

/**
 * What the gateway reads from the environment; packages/runtime documents each.
 *
 * @throws ConfigError also where no setting says what tokens are verified with, or where one is missing that another needs
 */
export function readConfig(env?: NodeJS.ProcessEnv) {
  const problems: string[] = [];
  const config = read(problems, () =>
    loadConfig(
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
    ),
  );
  problems.push(...problemsTogether(env));
  if (config === undefined || problems.length > 0) throw new ConfigError(problems);
  return config;
}

/** Settings that must fit to each other. */
const TOGETHER = [
  "BIMIP_JWT_SECRET",
  "BIMIP_JWT_KEY_FILES",
  "BIMIP_JWKS_URL",
  "BIMIP_JWT_ALGORITHMS",
  "BIMIP_TLS_CERT_FILE",
  "BIMIP_TLS_KEY_FILE",
  "BIMIP_TRUSTED_PROXIES",
  "BIMIP_CLIENT_ADDRESS",
] as const;

/** What does not fit, a line each. Nothing where one of them cannot be read: that is told by itself. */
function problemsTogether(env: NodeJS.ProcessEnv = process.env): string[] {
  const given = Object.fromEntries(TOGETHER.map((name) => [name, env[name]]));
  const config = read([], () => loadConfig(TOGETHER, given));
  return config === undefined ? [] : [...doorProblems(config), ...keyProblems(config)];
}

function keyProblems({
  BIMIP_JWT_SECRET: secret,
  BIMIP_JWT_KEY_FILES: files,
  BIMIP_JWKS_URL: jwks,
  BIMIP_JWT_ALGORITHMS: algorithms,
}: Pick<Settings, (typeof TOGETHER)[number]>): string[] {
  if (files.length > 0 || jwks !== undefined) return [];
  if (secret === undefined) return ["one of BIMIP_JWT_SECRET, BIMIP_JWT_KEY_FILES and BIMIP_JWKS_URL is required"];
  if (algorithms.includes("HS256")) return [];
  return ["BIMIP_JWT_SECRET is a key of HS256 and the only one, but BIMIP_JWT_ALGORITHMS does not allow HS256"];
}

/** undefined: there are problems, which are added to the others. */
function read<T>(problems: string[], load: () => T): T | undefined {
  try {
    return load();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems);
    return undefined;
  }
}

export type GatewayConfig = ReturnType<typeof readConfig>;
