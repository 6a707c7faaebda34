import { readFileSync } from "node:fs";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { ConfigError, type Settings } from "@bimip/runtime";
import {
  type Authenticator,
  type ConnectionOptions,
  nkeyAuthenticator,
  nkeys,
  usernamePasswordAuthenticator,
} from "@nats-io/transport-node";

/** How to log in to NATS. With none of it: without a name, in plain text. */
export interface NatsLogin {
  readonly user?: string | undefined;
  readonly passwordFile?: string | undefined;
  /** Instead of user and password. */
  readonly nkeyFile?: string | undefined;
  /** How the settings begin that say this, for texts; absent: no settings do. */
  readonly settings?: "BIMIP_NATS" | "BIMIP_NATS_SYSTEM" | undefined;
}

/** How to reach NATS, and as whom. */
export interface NatsAccess extends NatsLogin {
  /** Comma-separated URLs, as in NATS_URL. */
  readonly servers: string;
  /** Certificates that the server's must descend from; with it the connection must be TLS. */
  readonly caFile?: string | undefined;
  /** Ours, where the server asks for one. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

/** What a service needs to know to get into NATS. */
export interface ServiceAccess {
  readonly access: NatsAccess;
  /** The reader of the system account; undefined: none is configured. */
  readonly system: NatsAccess | undefined;
  /** Not ready unless every server is seen to fsync before it acknowledges. */
  readonly mustSync: boolean;
}

/** The settings that `serviceAccess` takes. */
export const ACCESS_SETTINGS = [
  "NATS_URL",
  "BIMIP_NATS_USER",
  "BIMIP_NATS_PASSWORD_FILE",
  "BIMIP_NATS_NKEY_FILE",
  "BIMIP_NATS_CA_FILE",
  "BIMIP_NATS_CERT_FILE",
  "BIMIP_NATS_KEY_FILE",
  "BIMIP_NATS_SYSTEM_USER",
  "BIMIP_NATS_SYSTEM_PASSWORD_FILE",
  "BIMIP_NATS_SYSTEM_NKEY_FILE",
  "BIMIP_NATS_SYNC",
] as const;

/**
 * The settings as access. The files are read later, at each connect, so that they can be replaced.
 *
 * @throws ConfigError naming what is missing, or one too many
 */
export function serviceAccess(config: Pick<Settings, (typeof ACCESS_SETTINGS)[number]>): ServiceAccess {
  const problems: string[] = [];
  const login = (prefix: "BIMIP_NATS" | "BIMIP_NATS_SYSTEM"): NatsLogin => {
    const user = config[`${prefix}_USER`];
    const passwordFile = config[`${prefix}_PASSWORD_FILE`];
    const nkeyFile = config[`${prefix}_NKEY_FILE`];
    if (nkeyFile !== undefined && (user !== undefined || passwordFile !== undefined))
      problems.push(
        `${prefix}_NKEY_FILE is instead of ${prefix}_USER and ${prefix}_PASSWORD_FILE: set one or the other`,
      );
    else if (user !== undefined && passwordFile === undefined)
      problems.push(`${prefix}_PASSWORD_FILE is required with ${prefix}_USER`);
    else if (user === undefined && passwordFile !== undefined)
      problems.push(`${prefix}_USER is required with ${prefix}_PASSWORD_FILE`);
    return { user, passwordFile, nkeyFile, settings: prefix };
  };
  const { BIMIP_NATS_CERT_FILE: certFile, BIMIP_NATS_KEY_FILE: keyFile } = config;
  if (certFile !== undefined && keyFile === undefined)
    problems.push("BIMIP_NATS_KEY_FILE is required with BIMIP_NATS_CERT_FILE");
  if (certFile === undefined && keyFile !== undefined)
    problems.push("BIMIP_NATS_CERT_FILE is required with BIMIP_NATS_KEY_FILE");
  const common = { servers: config.NATS_URL, caFile: config.BIMIP_NATS_CA_FILE, certFile, keyFile };
  const access = { ...common, ...login("BIMIP_NATS") };
  const systemLogin = login("BIMIP_NATS_SYSTEM");
  const hasSystem = systemLogin.user !== undefined || systemLogin.nkeyFile !== undefined;
  const mustSync = config.BIMIP_NATS_SYNC === "always";
  if (mustSync && !hasSystem)
    problems.push(
      "BIMIP_NATS_SYNC=always needs BIMIP_NATS_SYSTEM_USER or BIMIP_NATS_SYSTEM_NKEY_FILE: without a user of the system account nobody sees what servers do",
    );
  if (problems.length > 0) throw new ConfigError(problems);
  return { access, system: hasSystem ? { ...common, ...systemLogin } : undefined, mustSync };
}

/**
 * The options of the client library for it. Passwords and seeds are read at each connect.
 *
 * @throws Error naming a file that cannot be read or is not what it should be
 */
export function accessOptions(access: NatsAccess): ConnectionOptions {
  const { servers, caFile, certFile, keyFile } = access;
  const authenticator = authenticatorOf(access);
  // One and the same for both users.
  const settings = access.settings === undefined ? undefined : "BIMIP_NATS";
  const files = Object.entries({ CA_FILE: caFile, CERT_FILE: certFile, KEY_FILE: keyFile });
  for (const [name, file] of files) if (file !== undefined) readSecret(file, whereOf(settings, name, file));
  const hosts = servers.split(",").map(hostOf);
  const tls = {
    checkServerIdentity: (_host: string, certificate: PeerCertificate) => identityProblem(hosts, certificate),
    ...(caFile !== undefined && { caFile }),
    ...(certFile !== undefined && { certFile }),
    ...(keyFile !== undefined && { keyFile }),
  };
  return {
    servers: servers.split(",").map((server) => server.trim()),
    ...(authenticator !== undefined && { authenticator }),
    ...((caFile !== undefined || certFile !== undefined) && { tls }),
  };
}

function hostOf(server: string): string {
  return server
    .trim()
    .replace(/^[a-z]+:\/\//, "")
    .replace(/\/$/, "")
    .replace(/^.*@/, "")
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1");
}

/**
 * The certificate has to be that of one of the servers that we were told of. The client library would compare addresses with
 * `localhost`, and servers that others of the cluster tell it of with the name of the first one.
 */
function identityProblem(hosts: readonly string[], certificate: PeerCertificate): Error | undefined {
  const problems = hosts.map((host) => checkServerIdentity(host, certificate));
  return problems.includes(undefined) ? undefined : problems[0];
}

function authenticatorOf({ user, passwordFile, nkeyFile, settings }: NatsLogin): Authenticator | undefined {
  if (nkeyFile !== undefined)
    return nkeyAuthenticator(readAgain(() => readSeed(nkeyFile, whereOf(settings, "NKEY_FILE", nkeyFile))));
  if (user === undefined) return undefined;
  if (passwordFile === undefined) return usernamePasswordAuthenticator(user);
  return usernamePasswordAuthenticator(
    user,
    readAgain(() => readSecret(passwordFile, whereOf(settings, "PASSWORD_FILE", passwordFile))),
  );
}

/** Reads now, and at each call; goes on with what it had when the file is just being replaced. */
function readAgain<T>(read: () => T): () => T {
  let value = read();
  return () => {
    try {
      value = read();
    } catch {
      // the client library would close the connection for good
    }
    return value;
  };
}

/** The file, and which setting names it. */
function whereOf(settings: NatsLogin["settings"], name: string, path: string): string {
  return settings === undefined ? path : `${settings}_${name}: ${path}`;
}

function readSeed(path: string, where: string): Uint8Array {
  const seed = Buffer.from(readSecret(path, where));
  try {
    nkeys.fromSeed(seed);
  } catch (cause) {
    throw new Error(`${where} holds no nkey seed (it begins with SU)`, { cause });
  }
  return seed;
}

function readSecret(path: string, where: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (cause) {
    throw new Error(`${where} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  if (text === "") throw new Error(`${where} is empty`);
  return text;
}

/** For texts: the addresses, without passwords. */
export function describeServers(servers: string): string {
  return servers.replaceAll(/[^/@,]*@/g, "…@");
}
