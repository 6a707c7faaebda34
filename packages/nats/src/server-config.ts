import { NATS_USERS, type NatsUser, permissionsOf, SYSTEM_USER } from "./permissions.js";

/** How one user logs in: the public half of an nkey, or a password. */
export type Login = { readonly nkey: string } | { readonly password: string };

/** Certificates of one side, as paths. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
}

/** One nats-server. */
export interface ServerNode {
  readonly name: string;
  /** `host:port` that it listens on for BIMIP's services. */
  readonly listen: string;
  readonly storeDir: string;
  /** Absent: plain text. Clients show a certificate of the same authority. */
  readonly tls?: TlsFiles;
  readonly cluster?: {
    readonly name: string;
    readonly listen: string;
    /** `host:port` of the others. */
    readonly routes: readonly string[];
    readonly password: string;
    readonly tls?: TlsFiles;
  };
}

/** User name of the servers among each other. */
const ROUTE_USER = "route";
/** An operator's erasing may take a minute. */
const ANSWER_WITHIN = "2m";

/**
 * The accounts of nats-server's configuration: BIMIP with a user for each service, SYS with the one that reads the servers'
 * state. Who is none of them gets in nowhere.
 *
 * @param admin a further user of BIMIP who may do everything, for development
 */
export function accountsConfig(
  logins: Readonly<Record<NatsUser, Login>>,
  partitions: number,
  admin?: { readonly name: string; readonly login: Login },
): string {
  const user = (name: NatsUser): string => userConfig(name, logins[name], partitions);
  const ours = NATS_USERS.filter((name) => name !== SYSTEM_USER).map(user);
  const all = admin === undefined ? ours : [...ours, `    { ${loginOf(admin.name, admin.login)} } # may do everything`];
  return [
    "accounts {",
    "  BIMIP {",
    "    jetstream: enabled",
    "    users: [",
    all.join("\n"),
    "    ]",
    "  }",
    "  # Reads what the servers say of themselves, and nothing of BIMIP.",
    "  SYS {",
    "    users: [",
    user(SYSTEM_USER),
    "    ]",
    "  }",
    "}",
    "system_account: SYS",
    "",
  ].join("\n");
}

function userConfig(name: NatsUser, login: Login, partitions: number): string {
  const { publish, subscribe, answers } = permissionsOf(name, partitions);
  const allow = (subjects: readonly string[]): string =>
    `{ allow: [\n${subjects.map((subject) => `          ${quote(subject)}`).join("\n")}\n        ] }`;
  return [
    `      # ${name}`,
    `      { ${loginOf(name, login)}`,
    "        permissions {",
    `        publish: ${allow(publish)}`,
    `        subscribe: ${allow(subscribe)}`,
    ...(answers ? [`        allow_responses: { max: 1, expires: ${quote(ANSWER_WITHIN)} }`] : []),
    "      } }",
  ].join("\n");
}

function loginOf(name: string, login: Login): string {
  return "nkey" in login ? `nkey: ${login.nkey}` : `user: ${quote(name)}, password: ${quote(login.password)}`;
}

/**
 * The configuration file of one nats-server.
 *
 * @param accountsFile what `accountsConfig` makes, relative to the file
 */
export function serverConfig(node: ServerNode, accountsFile: string): string {
  const { name, listen, storeDir, tls, cluster } = node;
  return [
    `server_name: ${quote(name)}`,
    `listen: ${quote(listen)}`,
    "",
    "# Who may do what. There is no no_auth_user: without a login nobody gets in.",
    `include ${accountsFile}`,
    "",
    "jetstream {",
    `  store_dir: ${quote(storeDir)}`,
    "  # Written to the disk before it is acknowledged: a power cut loses nothing that was confirmed.",
    "  sync_interval: always",
    "}",
    "",
    "# No websocket, MQTT, leaf node or monitoring port is opened. For /varz and the like, to this machine only:",
    '# http: "127.0.0.1:8222"',
    "",
    "# A stanza has 900,000 bytes at most.",
    "max_payload: 1MB",
    "max_control_line: 4KB",
    "max_connections: 4096",
    "# Who logs in has so long; who does not read is cut off.",
    "authorization { timeout: 5 }",
    "write_deadline: 10s",
    ...(tls === undefined ? [] : ["", tlsBlock(tls, "", "# Clients show a certificate of the same authority.")]),
    ...(cluster === undefined ? [] : ["", clusterBlock(cluster)]),
    "",
  ].join("\n");
}

function tlsBlock({ certFile, keyFile, caFile }: TlsFiles, indent: string, why: string): string {
  return [
    "tls {",
    `  cert_file: ${quote(certFile)}`,
    `  key_file: ${quote(keyFile)}`,
    `  ca_file: ${quote(caFile)}`,
    `  ${why}`,
    "  verify: true",
    "  timeout: 5",
    "}",
  ]
    .map((line) => indent + line)
    .join("\n");
}

function clusterBlock({ name, listen, routes, password, tls }: NonNullable<ServerNode["cluster"]>): string {
  const route = (to: string): string => `    ${quote(`nats-route://${ROUTE_USER}:${password}@${to}`)}`;
  return [
    "cluster {",
    `  name: ${quote(name)}`,
    `  listen: ${quote(listen)}`,
    "  # The servers log in with each other, too.",
    `  authorization { user: ${quote(ROUTE_USER)}, password: ${quote(password)}, timeout: 5 }`,
    "  routes: [",
    ...routes.map(route),
    "  ]",
    ...(tls === undefined ? [] : [tlsBlock(tls, "  ", "# Both ends of a route show theirs.")]),
    "}",
  ].join("\n");
}

/** A string of NATS's configuration language. */
function quote(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}
