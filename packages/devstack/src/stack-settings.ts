import { loadConfig, type SettingName, settings } from "@bimip/runtime";
import { freePort } from "./free-port.js";

/** What a stack is to run with, before anything is started. */
export interface StackSettings {
  readonly host: string;
  /** One per gateway; none is 0. */
  readonly ports: readonly number[];
  /** Undefined when it is to start a server of its own. */
  readonly natsUrl: string | undefined;
  /** Undefined when it is to be made, or read from the data directory. */
  readonly secret: string | undefined;
  /** Streams that the logs are spread over: the users' permissions name each. */
  readonly partitions: number;
  /** How long a service gives itself to stop. */
  readonly stopDeadlineMs: number;
}

const ALL = Object.keys(settings).filter((name): name is SettingName => name in settings);

/** @throws ConfigError naming every variable of the environment that is not usable, to the stack or to any service. */
export async function readStackSettings(
  env: NodeJS.ProcessEnv,
  given: { readonly port?: number; readonly host?: string; readonly natsUrl?: string; readonly gateways?: number },
): Promise<StackSettings> {
  // Also what only services read: each of them would tell but its own, one after the other.
  const config = loadConfig(ALL, env);
  // Given in the environment or not decides; their defaults are meant for a service on its own.
  const natsUrl = given.natsUrl ?? (env["NATS_URL"] ? config.NATS_URL : undefined);
  const host = given.host ?? config.BIMIP_HOST;
  const port = given.port ?? config.BIMIP_PORT;
  const ports = new Set(port === 0 ? [] : [port]);
  while (ports.size < (given.gateways ?? 1)) ports.add(await freePort(host));
  return {
    host,
    ports: [...ports],
    natsUrl,
    secret: config.BIMIP_JWT_SECRET,
    partitions: config.BIMIP_LOG_PARTITIONS,
    stopDeadlineMs: config.BIMIP_STOP_DEADLINE_MS,
  };
}
