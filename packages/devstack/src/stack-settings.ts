import { loadConfig } from "@bimip/runtime";
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

/** @throws ConfigError naming every variable of the environment that is not usable. */
export async function readStackSettings(
  env: NodeJS.ProcessEnv,
  given: { readonly port?: number; readonly host?: string; readonly natsUrl?: string; readonly gateways?: number },
): Promise<StackSettings> {
  const config = loadConfig(["BIMIP_PORT", "BIMIP_HOST", "BIMIP_LOG_PARTITIONS", "BIMIP_STOP_DEADLINE_MS"], env);
  // Given in the environment or not decides; their defaults are meant for a service on its own.
  const natsUrl = given.natsUrl ?? (env["NATS_URL"] ? loadConfig(["NATS_URL"], env).NATS_URL : undefined);
  const secret = env["BIMIP_JWT_SECRET"] ? loadConfig(["BIMIP_JWT_SECRET"], env).BIMIP_JWT_SECRET : undefined;
  const host = given.host ?? config.BIMIP_HOST;
  const port = given.port ?? config.BIMIP_PORT;
  const ports = new Set(port === 0 ? [] : [port]);
  while (ports.size < (given.gateways ?? 1)) ports.add(await freePort(host));
  return {
    host,
    ports: [...ports],
    natsUrl,
    secret,
    partitions: config.BIMIP_LOG_PARTITIONS,
    stopDeadlineMs: config.BIMIP_STOP_DEADLINE_MS,
  };
}
