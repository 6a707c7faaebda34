import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { issueToken } from "@bimip/auth";
import { type BimipClient, type ClientOptions, createClient } from "@bimip/client";
import { BimipError, ErrorCode } from "@bimip/protocol";
import type { Command } from "commander";
import { CliError, UsageError } from "./cli-error.js";
import type { ProgramContext } from "./program-context.js";

const DEFAULT_PORT = "4001";
const DEFAULT_DATA_DIR = ".bimip";
/** Tokens for --as are made anew at each connect. */
const OWN_TOKEN_S = 3_600;

/** Where the secret to sign tokens with comes from. */
export interface SecretOptions {
  readonly secret?: string;
  readonly dataDir?: string;
}

/** What every command takes that talks to a server. */
export interface SessionOptions extends SecretOptions {
  readonly url?: string;
  readonly token?: string;
  readonly as?: string;
  readonly device?: string;
}

/** Adds the options of SecretOptions. */
export function withSecretOptions(command: Command): Command {
  return command
    .option("--secret <secret>", "sign with this secret (default: BIMIP_JWT_SECRET, else the data directory's)")
    .option("--data-dir <dir>", "data directory of npm start (default: BIMIP_DATA_DIR, else .bimip)");
}

/** Adds the options of SessionOptions. */
export function withSessionOptions(command: Command, defaultDevice: string): Command {
  command
    .option("--as <eid>", "who you are; a token is made with the server's secret")
    .option("--device <name>", `name of this device (default: ${defaultDevice})`)
    .option("--url <url>", `server (default: ws://127.0.0.1:$BIMIP_PORT/v1/ws, port ${DEFAULT_PORT})`)
    .option("--token <jwt>", "use this token instead of making one");
  return withSecretOptions(command);
}

/** The server's address: given, or on this machine at BIMIP_PORT. */
export function urlOf(options: SessionOptions, env: ProgramContext["env"]): string {
  return options.url ?? `ws://127.0.0.1:${env.BIMIP_PORT || DEFAULT_PORT}/v1/ws`;
}

export function dataDirOf(options: SecretOptions, env: ProgramContext["env"]): string {
  return options.dataDir ?? (env.BIMIP_DATA_DIR || DEFAULT_DATA_DIR);
}

/** @throws CliError when there is none, saying where one was looked for */
export async function secretOf(options: SecretOptions, env: ProgramContext["env"]): Promise<string> {
  const given = options.secret ?? env.BIMIP_JWT_SECRET;
  if (given !== undefined && given !== "") return given;
  const file = join(dataDirOf(options, env), "jwt-secret");
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (cause) {
    const hint = "start the server (npm start), or give --secret, --data-dir or --token";
    throw new CliError(`no secret to make a token with: ${file} cannot be read; ${hint}`, { cause });
  }
}

/** A connected client and who it is. */
export interface Session {
  readonly client: BimipClient;
  readonly eid: string;
  readonly url: string;
}

/** How a command uses the log. */
export type LogUse = Pick<ClientOptions, "acknowledge" | "begin" | "receive" | "queryTimeoutMs">;

/**
 * Makes a client that is not connected yet, so that handlers can be added before the replay.
 *
 * @throws UsageError when neither --as nor --token says who we are
 */
export async function createSession(
  options: SessionOptions,
  defaultDevice: string,
  { env }: ProgramContext,
  use: LogUse = {},
): Promise<Session> {
  const url = urlOf(options, env);
  const { token, as: eid } = options;
  if (token !== undefined) {
    const device = options.device === undefined ? {} : { device: options.device };
    const whose = eid ?? eidOf(token);
    return { client: createClient({ url, token, eid: whose, ...device, ...use }), eid: whose, url };
  }
  if (eid === undefined) throw new UsageError("say who you are: --as <eid>, or --token <jwt>");
  const secret = await secretOf(options, env);
  const device = options.device ?? defaultDevice;
  const fresh = (): Promise<string> => issueToken({ secret, eid, device, expiresInS: OWN_TOKEN_S });
  await fresh(); // a secret that is too short is said here, not as a lost connection
  return { client: createClient({ url, token: fresh, eid, ...use }), eid, url };
}

/** Connects; unlike the SDK, which keeps trying, a person is told at once that nobody answers. */
export async function connect({ client, url }: Session): Promise<void> {
  let off: (() => void) | undefined;
  const failed = new Promise<never>((_resolve, reject) => {
    off = client.on("error", reject);
  });
  try {
    await Promise.race([client.connect(), failed]);
  } catch (error) {
    client.close().catch(() => undefined);
    const told = CliError.from(error);
    if (told.code === ErrorCode.NOT_AUTHENTICATED || told.code === ErrorCode.NOT_ALLOWED) throw told;
    const why = error instanceof BimipError ? error.details : told.message;
    throw new CliError(`cannot connect to ${url}: ${why}`, { cause: error, ...(told.code && { code: told.code }) });
  } finally {
    off?.();
  }
}

/** Whose token it is, for showing; the server checks it. */
function eidOf(token: string): string {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
    if (typeof claims === "object" && claims !== null) {
      if ("eid" in claims && typeof claims.eid === "string") return claims.eid;
      if ("sub" in claims && typeof claims.sub === "string") return claims.sub;
    }
  } catch (cause) {
    throw new CliError("--token is not a JWT", { cause });
  }
  throw new CliError("--token names no account (neither eid nor sub)");
}
