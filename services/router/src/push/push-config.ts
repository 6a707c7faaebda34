import { ConfigError, type Settings } from "@bimip/runtime";

/** Where the webhook is, and the key of its signature. */
export interface WebhookConfig {
  readonly url: string;
  readonly secret: string;
}

/** The application server's identity towards push services (VAPID, RFC 8292), and which services may be called. */
export interface WebPushConfig {
  readonly subject: string;
  readonly publicKey: string;
  readonly privateKey: string;
  /** Host names, `*.` before a name for any host under it; or a literal `http://host:port`. */
  readonly hosts: readonly string[];
}

/** Offline push, with at least one of the two providers. */
export interface PushConfig {
  readonly webhook: WebhookConfig | undefined;
  readonly webPush: WebPushConfig | undefined;
  /** An online user's message that is unacknowledged for so long is pushed. */
  readonly afterMs: number;
  /** How long a provider may take to answer. */
  readonly timeoutMs: number;
  readonly maxTries: number;
  /** Pause after the first failed try. */
  readonly retryMs: number;
  /** Users worked on at once. */
  readonly concurrency: number;
}

/** The settings of offline push. */
export const PUSH_SETTINGS = [
  "BIMIP_PUSH_AFTER_MS",
  "BIMIP_PUSH_CONCURRENCY",
  "BIMIP_PUSH_MAX_TRIES",
  "BIMIP_PUSH_RETRY_MS",
  "BIMIP_PUSH_TIMEOUT_MS",
  "BIMIP_PUSH_WEBHOOK_SECRET",
  "BIMIP_PUSH_WEBHOOK_URL",
  "BIMIP_VAPID_PRIVATE_KEY",
  "BIMIP_VAPID_PUBLIC_KEY",
  "BIMIP_VAPID_SUBJECT",
  "BIMIP_WEBPUSH_HOSTS",
] as const;

/**
 * Offline push as the settings have it; undefined when neither a webhook nor web push is configured.
 *
 * @throws ConfigError naming what is missing when a provider is configured by halves
 */
export function pushConfig(config: Pick<Settings, (typeof PUSH_SETTINGS)[number]>): PushConfig | undefined {
  const { BIMIP_PUSH_WEBHOOK_URL: url, BIMIP_PUSH_WEBHOOK_SECRET: secret } = config;
  const problems: string[] = [];
  if (url !== undefined && secret === undefined) {
    problems.push("BIMIP_PUSH_WEBHOOK_SECRET is required with BIMIP_PUSH_WEBHOOK_URL");
  }
  const webhook = url !== undefined && secret !== undefined ? { url, secret } : undefined;

  const subject = config.BIMIP_VAPID_SUBJECT;
  const publicKey = config.BIMIP_VAPID_PUBLIC_KEY;
  const privateKey = config.BIMIP_VAPID_PRIVATE_KEY;
  const vapid = {
    BIMIP_VAPID_SUBJECT: subject,
    BIMIP_VAPID_PUBLIC_KEY: publicKey,
    BIMIP_VAPID_PRIVATE_KEY: privateKey,
  };
  const missing = Object.entries(vapid).flatMap(([name, value]) => (value === undefined ? [name] : []));
  if (missing.length === 1 || missing.length === 2) {
    problems.push(...missing.map((name) => `${name} is required: web push needs a subject and both keys`));
  }
  if (problems.length > 0) throw new ConfigError(problems);

  const webPush =
    subject !== undefined && publicKey !== undefined && privateKey !== undefined
      ? { subject, publicKey, privateKey, hosts: config.BIMIP_WEBPUSH_HOSTS.split(",").map((host) => host.trim()) }
      : undefined;
  if (webhook === undefined && webPush === undefined) return undefined;
  return {
    webhook,
    webPush,
    afterMs: config.BIMIP_PUSH_AFTER_MS,
    timeoutMs: config.BIMIP_PUSH_TIMEOUT_MS,
    maxTries: config.BIMIP_PUSH_MAX_TRIES,
    retryMs: config.BIMIP_PUSH_RETRY_MS,
    concurrency: config.BIMIP_PUSH_CONCURRENCY,
  };
}
