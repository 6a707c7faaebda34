import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { issueToken, loadSigningKey, type Signer } from "@bimip/auth";
import { type BimipClient, type ClientOptions, createClient } from "@bimip/client";
import { BimipError, ErrorCode } from "@bimip/protocol";
import type { Command } from "commander";
import { CliError, UsageError } from "./cli-error.js";
import { accountIn, namesDevice } from "./jwt-claims.js";
import type { ProgramContext } from "./program-context.js";

const DEFAULT_PORT = "4001";
const DEFAULT_DATA_DIR = ".bimip";
/** Tokens for --as are made anew at each connect. */
const OWN_TOKEN_S = 3_600;

/** Where the key to sign tokens with comes from. */
export interface SecretOptions {
  readonly secret?: string;
  readonly keyFile?: string;
  readonly dataDir?: string;
}

/** Who asks, and whom. */
export interface WhoOptions extends SecretOptions {
  readonly url?: string;
  readonly token?: string;
  readonly as?: string;
}

/** What every command takes that talks to a server as a device of one's choice. */
export interface SessionOptions extends WhoOptions {
  readonly device?: string;
}

/** Adds the options of SecretOptions. */
export function withSecretOptions(command: Command): Command {
  return command
    .option("--secret <secret>", "sign with this secret (default: BIMIP_JWT_SECRET, else the data directory's)")
    .option("--key-file <file>", "sign with this private key instead: PEM or JWK, of any algorithm that BIMIP takes")
    .option("--data-dir <dir>", "data directory of npm start (default: BIMIP_DATA_DIR, else .bimip)");
}

/** Adds the options of SessionOptions. */
export function withSessionOptions(command: Command, defaultDevice: string): Command {
  command.option("--as <eid>", "who you are; a token is made with the server's secret");
  command.option("--device <name>", `name of this device (default: ${defaultDevice})`);
  return withServerOptions(command);
}

/** Adds the options of WhoOptions. */
export function withWhoOptions(command: Command): Command {
  return withServerOptions(command.option("--as <eid>", "who you are; a token is made with the server's secret"));
}

function withServerOptions(command: Command): Command {
  withUrlOption(command).option("--token <jwt>", "use this token instead of making one");
  return withSecretOptions(command);
}

export function withUrlOption(command: Command): Command {
  return command.option("--url <url>", `server (default: ws://127.0.0.1:$BIMIP_PORT/v1/ws, port ${DEFAULT_PORT})`);
}

/** The server's address: given, or on this machine at BIMIP_PORT. */
export function urlOf(options: { readonly url?: string }, env: ProgramContext["env"]): string {
  return options.url ?? `ws://127.0.0.1:${env.BIMIP_PORT || DEFAULT_PORT}/v1/ws`;
}

export function dataDirOf(options: { readonly dataDir?: string }, env: ProgramContext["env"]): string {
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
    const hint = "start the server (npm start), or give --secret, --key-file, --data-dir or --token";
    throw new CliError(`no secret to make a token with: ${file} cannot be read; ${hint}`, { cause });
  }
}

/** What tokens are signed with. @throws CliError when there is none, or the file holds none */
export async function signerOf(options: SecretOptions, env: ProgramContext["env"]): Promise<Signer> {
  const { keyFile, secret } = options;
  if (keyFile === undefined) return { secret: await secretOf(options, env) };
  if (secret !== undefined) throw new UsageError("--secret and --key-file exclude each other");
  try {
    return { key: await loadSigningKey(keyFile) };
  } catch (cause) {
    throw new CliError(`--key-file: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/** What a server may want to find in tokens: the first issuer and audience of its own settings, where they are set here too. */
export function addressing(env: ProgramContext["env"]): { readonly issuer?: string; readonly audience?: string } {
  const first = (name: string): string => env[name]?.split(",")[0]?.trim() ?? "";
  const [issuer, audience] = [first("BIMIP_JWT_ISSUER"), first("BIMIP_JWT_AUDIENCE")];
  return { ...(issuer !== "" && { issuer }), ...(audience !== "" && { audience }) };
}

/** A connected client and who it is. */
export interface Session {
  readonly client: BimipClient;
  readonly eid: string;
  readonly url: string;
}

/** How a command uses the log, and what its own token may do. */
export interface SessionUse extends Pick<ClientOptions, "acknowledge" | "begin" | "receive" | "queryTimeoutMs"> {
  /** Of a token that is made here. */
  readonly scope?: string;
}

/**
 * Makes a client that is not connected yet, so that handlers can be added before the replay.
 *
 * @throws UsageError when neither --as nor --token says who we are
 */
export async function createSession(
  options: SessionOptions,
  defaultDevice: string,
  { env }: ProgramContext,
  { scope, ...use }: SessionUse = {},
): Promise<Session> {
  const url = urlOf(options, env);
  const { token, as: eid } = options;
  if (token !== undefined) {
    const whose = eid ?? accountIn("--token", token);
    // Beside a device that the token names the server takes no other.
    const device = options.device ?? (namesDevice(token) ? undefined : defaultDevice);
    const named = device === undefined ? {} : { device };
    return { client: createClient({ url, token, eid: whose, ...named, ...use }), eid: whose, url };
  }
  if (eid === undefined) throw new UsageError("say who you are: --as <eid>, or --token <jwt>");
  const device = options.device ?? defaultDevice;
  const own = { eid, device, expiresInS: OWN_TOKEN_S, ...(scope !== undefined && { scope }), ...addressing(env) };
  const signer = await signerOf(options, env);
  const fresh = (): Promise<string> => issueToken({ ...signer, ...own });
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
    // Somebody may have put a token behind it.
    const at = url.replace(/[?#].*$/s, "");
    throw new CliError(`cannot connect to ${at}: ${why}`, { cause: error, ...(told.code && { code: told.code }) });
  } finally {
    off?.();
  }
}

/** Connects, has the work done, and ends the connection. */
export async function withConnected<T>(session: Session, work: (client: BimipClient) => Promise<T>): Promise<T> {
  await connect(session);
  try {
    return await work(session.client);
  } finally {
    await session.client.close();
  }
}
