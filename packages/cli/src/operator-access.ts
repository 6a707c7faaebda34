import { existsSync } from "node:fs";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { natsPasswordFile } from "@bimip/devstack";
import {
  ACCESS_SETTINGS,
  accessOptions,
  describeServers,
  inboxPrefix,
  type NatsAccess,
  type NatsConnection,
  refusalOf,
  type ServiceAccess,
  serviceAccess,
  SYSTEM_USER,
} from "@bimip/nats";
import { loadConfig } from "@bimip/runtime";
import { connect } from "@nats-io/transport-node";
import { CliError } from "./cli-error.js";
import type { ProgramContext } from "./program-context.js";
import { dataDirOf } from "./session.js";

const CONNECT_MS = 5_000;
/** The user of NATS that this command is. */
const OPERATOR = "operator";

/**
 * How to get into NATS: by the environment's settings, as for a service; where they name no user, and the server is the one
 * that `npm start` runs, as the operator of its data directory.
 *
 * @throws CliError when there is no server to ask; ConfigError for settings that are not usable
 */
export async function operatorAccess(
  options: { readonly nats?: string; readonly dataDir?: string },
  env: ProgramContext["env"],
): Promise<ServiceAccess> {
  const dataDir = dataDirOf(options, env);
  const given = options.nats ?? (env.NATS_URL || undefined);
  const servers = given ?? (await localNats(dataDir));
  const settings = loadConfig(ACCESS_SETTINGS, { ...env, NATS_URL: servers });
  const configured = serviceAccess(settings);
  const { access } = configured;
  if (access.user !== undefined || access.nkeyFile !== undefined) return configured;
  const passwordFile = natsPasswordFile(dataDir, OPERATOR);
  const isLocal = given === undefined || given === (await localNats(dataDir).catch(() => undefined));
  if (!isLocal || !existsSync(passwordFile)) return configured;
  const own = { ...access, settings: undefined };
  return {
    ...configured,
    access: { ...own, user: OPERATOR, passwordFile },
    system: { ...own, user: SYSTEM_USER, passwordFile: natsPasswordFile(dataDir, SYSTEM_USER) },
  };
}

/** Connects once, without trying again. @throws CliError in words for people */
export async function connectAsOperator(access: NatsAccess): Promise<NatsConnection> {
  try {
    return await connect({
      ...accessOptions(access),
      name: "bimip-cli",
      inboxPrefix: inboxPrefix(OPERATOR),
      timeout: CONNECT_MS,
    });
  } catch (cause) {
    const refusal = refusalOf(cause, access);
    if (refusal !== undefined) throw new CliError(refusal.message, { cause });
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CliError(`cannot connect to NATS at ${describeServers(access.servers)}: ${why}`, { cause });
  }
}

/** Where the nats-server of `npm start` listens: it writes that down itself. */
async function localNats(dataDir: string): Promise<string> {
  const folder = join(dataDir, "nats-ports");
  const hint = "start the server (npm start), or give --nats, NATS_URL or --data-dir";
  try {
    const [file = ""] = await readdir(folder);
    const url = /"(nats:\/\/[^"]+)"/.exec(await readFile(join(folder, file), "utf8"))?.[1];
    if (url !== undefined) return url;
  } catch (cause) {
    throw new CliError(`no NATS to ask: ${folder} cannot be read; ${hint}`, { cause });
  }
  throw new CliError(`no NATS to ask: nothing in ${folder}; ${hint}`);
}
