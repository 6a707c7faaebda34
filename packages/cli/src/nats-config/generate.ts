import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  accountsConfig,
  NATS_USERS,
  type NatsUser,
  serverConfig,
  type ServerNode,
  SYSTEM_USER,
  type TlsFiles,
} from "@bimip/nats";
import { CliError } from "../cli-error.js";
import { authorityFile, certificateFiles, ensureCertificates } from "./certificates.js";
import { credentialFile, ensureCredentials } from "./credentials.js";
import { listenHost, type NatsPlan, natsUrl, type NodePlan } from "./plan.js";

const HEADER = "# Made by `bimip nats-config`, which writes it anew: changes by hand are lost.";
const USERS_FILE = "users.conf";
const CLUSTER = "bimip";
/** Storage looks whether every server fsyncs; `bimip doctor` does, too. Gateways need no way into the system account. */
const SEES_SYSTEM: readonly NatsUser[] = ["storage", "operator"];

/** What was written. */
export interface Generated {
  /** Credentials and certificates that were there, and are used on. */
  readonly kept: readonly string[];
  /** Those that are new. */
  readonly made: readonly string[];
  /** Configurations of nats-server, one for each node. */
  readonly configs: readonly string[];
  /** The settings of each service and of the operator. */
  readonly envs: Readonly<Record<string, string>>;
}

/**
 * Writes the configuration of the servers, the credentials, the certificates, and the settings of each service.
 *
 * @param out a folder; credentials and certificates in it are kept, configurations and settings written anew
 * @throws CliError for a file that is in the way
 */
export async function generate(out: string, plan: NatsPlan): Promise<Generated> {
  await mkdir(join(out, "env"), { recursive: true, mode: 0o700 });
  const { logins, routePassword, kept, made } = await ensureCredentials(join(out, "credentials"), plan.auth);
  const certificates = plan.tls ? await ensureCertificates(join(out, "tls"), certificatesOf(plan)) : [];
  await writeConfig(join(out, USERS_FILE), accountsConfig(logins, plan.partitions));
  const configs: string[] = [];
  for (const node of plan.nodes) {
    const path = join(out, `${node.name}.conf`);
    await writeConfig(path, serverConfig(nodeOf(node, plan, routePassword), `./${USERS_FILE}`));
    configs.push(path);
  }
  const envs: Record<string, string> = {};
  for (const user of NATS_USERS) {
    if (user === SYSTEM_USER) continue;
    envs[user] = join(out, "env", `${user}.env`);
    await writeConfig(envs[user], envOf(user, plan));
  }
  return { kept, made: [...made, ...certificates], configs, envs };
}

function certificatesOf({ nodes }: NatsPlan) {
  const ofNodes = nodes.map(({ name, host }) => ({ name, hosts: [host] }));
  const ofUsers = NATS_USERS.filter((user) => user !== SYSTEM_USER).map((name) => ({ name, hosts: [] }));
  return [...ofNodes, ...ofUsers];
}

function nodeOf(node: NodePlan, plan: NatsPlan, password: string): ServerNode {
  const { name, host, port, routePort } = node;
  const files = plan.tls ? { tls: tlsFiles(plan, name) } : {};
  const others = plan.nodes.filter((other) => other !== node);
  const own: ServerNode = {
    name,
    listen: `${listenHost(host)}:${port}`,
    storeDir: join(plan.storeDir, name),
    ...files,
  };
  if (others.length === 0) return own;
  const routes = others.map((other) => `${other.host}:${other.routePort}`);
  return { ...own, cluster: { name: CLUSTER, listen: `${listenHost(host)}:${routePort}`, routes, password, ...files } };
}

function tlsFiles({ installedAt }: NatsPlan, name: string): TlsFiles {
  const dir = join(installedAt, "tls");
  return { ...certificateFiles(dir, name), caFile: authorityFile(dir) };
}

/** The variables of a service, as a file for `docker run --env-file` or systemd. */
function envOf(user: NatsUser, plan: NatsPlan): string {
  const { installedAt, auth, nodes, partitions } = plan;
  const login = (prefix: string, name: NatsUser): string[] => {
    const file = join(installedAt, "credentials", credentialFile(name, auth));
    return auth === "nkey"
      ? [`${prefix}_NKEY_FILE=${file}`]
      : [`${prefix}_USER=${name}`, `${prefix}_PASSWORD_FILE=${file}`];
  };
  const { certFile, keyFile, caFile } = tlsFiles(plan, user);
  const lines = [
    `NATS_URL=${natsUrl(plan)}`,
    ...login("BIMIP_NATS", user),
    ...(plan.tls
      ? [`BIMIP_NATS_CA_FILE=${caFile}`, `BIMIP_NATS_CERT_FILE=${certFile}`, `BIMIP_NATS_KEY_FILE=${keyFile}`]
      : []),
    ...(SEES_SYSTEM.includes(user) ? [...login("BIMIP_NATS_SYSTEM", SYSTEM_USER), "BIMIP_NATS_SYNC=always"] : []),
    `BIMIP_REPLICAS=${nodes.length}`,
    `BIMIP_LOG_PARTITIONS=${partitions}`,
    "",
  ];
  return lines.join("\n");
}

/** Writes a file that only its owner may read: it may hold passwords. */
async function writeConfig(path: string, text: string): Promise<void> {
  const there = await readFile(path, "utf8").catch(() => undefined);
  if (there !== undefined && !there.startsWith(HEADER))
    throw new CliError(`${path} is there and was not made by this command: move it away, or choose another --out`);
  await writeFile(path, `${HEADER}\n${text}`, { mode: 0o600 });
  await chmod(path, 0o600);
}
