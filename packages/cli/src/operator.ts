import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { NatsConnection } from "@bimip/nats";
import { LIMITS, nameProblem } from "@bimip/protocol";
import { connect } from "@nats-io/transport-node";
import type { Command } from "commander";
import { CliError, UsageError } from "./cli-error.js";
import type { ProgramContext } from "./program-context.js";
import { dataDirOf } from "./session.js";

const CONNECT_MS = 5_000;

/** What the commands take that talk to storage, past the gateways. */
export interface OperatorOptions {
  readonly nats?: string;
  readonly dataDir?: string;
}

/** Adds the options of OperatorOptions. */
export function withOperatorOptions(command: Command): Command {
  return command
    .option("--nats <urls>", "NATS servers (default: NATS_URL, else the one that npm start runs)")
    .option("--data-dir <dir>", "data directory of npm start (default: BIMIP_DATA_DIR, else .bimip)");
}

/**
 * Runs `work` with a connection to NATS.
 *
 * @throws UsageError for what is no EID
 * @throws CliError when there is no NATS, or storage does not answer
 */
export async function asOperator<T>(
  eid: string,
  options: OperatorOptions,
  { env }: ProgramContext,
  work: (nc: NatsConnection) => Promise<T>,
): Promise<T> {
  const problem = nameProblem(eid, LIMITS.eidBytes);
  if (problem !== undefined) throw new UsageError(`<eid>: ${problem}`);
  const servers = options.nats ?? (env.NATS_URL || (await localNats(dataDirOf(options, env))));
  let nc: NatsConnection;
  try {
    nc = await connect({ servers: servers.split(","), name: "bimip-cli", timeout: CONNECT_MS });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CliError(`cannot connect to NATS at ${withoutPassword(servers)}: ${why}`, { cause });
  }
  try {
    return await work(nc);
  } finally {
    await nc.close();
  }
}

/** A question to storage that was not answered, as the line for it. */
export function storageSilent(cause: unknown): CliError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new CliError(`storage does not answer: ${why}`, { cause });
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

function withoutPassword(servers: string): string {
  return servers.replaceAll(/\/\/[^/@,]*@/g, "//…@");
}
