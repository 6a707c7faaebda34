import { randomBytes } from "node:crypto";
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Login, NATS_USERS, type NatsUser } from "@bimip/nats";
import { nkeys } from "@nats-io/transport-node";
import { CliError } from "../cli-error.js";

const PASSWORD_BYTES = 32;

/** What each side needs to log in, and which files were there already. */
export interface Credentials {
  readonly logins: Readonly<Record<NatsUser, Login>>;
  /** Of the servers among each other. */
  readonly routePassword: string;
  readonly kept: readonly string[];
  readonly made: readonly string[];
}

/** The name of a user's file. */
export function credentialFile(user: NatsUser, auth: "nkey" | "password"): string {
  return `${user}.${auth === "nkey" ? "nk" : "password"}`;
}

/**
 * Reads what is there, and makes what is missing, in files that only their owner may read. Nothing is ever overwritten.
 *
 * @throws CliError naming a file that others may read, or that holds no credential
 */
export async function ensureCredentials(dir: string, auth: "nkey" | "password"): Promise<Credentials> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const kept: string[] = [];
  const made: string[] = [];
  const ensure = async (name: string, make: () => string): Promise<string> => {
    const path = join(dir, name);
    const there = await readSecret(path);
    if (there !== undefined) {
      kept.push(path);
      return there;
    }
    const secret = make();
    await writeFile(path, `${secret}\n`, { mode: 0o600, flag: "wx" });
    await chmod(path, 0o600);
    made.push(path);
    return secret;
  };
  const password = (): string => randomBytes(PASSWORD_BYTES).toString("base64url");
  const logins = {} as Record<NatsUser, Login>;
  for (const user of NATS_USERS) {
    const name = credentialFile(user, auth);
    const secret = await ensure(name, auth === "nkey" ? newSeed : password);
    logins[user] = auth === "nkey" ? { nkey: publicKey(join(dir, name), secret) } : { password: secret };
  }
  return { logins, routePassword: await ensure("route.password", password), kept, made };
}

async function readSecret(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return undefined;
  if ((found.mode & 0o077) !== 0) throw new CliError(`${path} can be read by others than its owner: chmod 600 it`);
  const secret = (await readFile(path, "utf8")).trim();
  if (secret === "") throw new CliError(`${path} is empty: remove it, and it is made anew`);
  return secret;
}

function newSeed(): string {
  return Buffer.from(nkeys.createUser().getSeed()).toString();
}

function publicKey(path: string, seed: string): string {
  try {
    return nkeys.fromSeed(Buffer.from(seed)).getPublicKey();
  } catch (cause) {
    throw new CliError(`${path} holds no nkey seed (it begins with SU)`, { cause });
  }
}
