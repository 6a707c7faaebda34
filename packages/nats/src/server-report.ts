import { connect as connectTransport } from "@nats-io/transport-node";
import { accessOptions, type NatsAccess } from "./nats-access.js";
import { inboxPrefix, SYSTEM_USER } from "./permissions.js";

/** Oldest nats-server that BIMIP runs on: per-message TTL, batched direct get, security fixes. */
export const OLDEST_SERVER = "2.14.0";

/** One nats-server as it describes itself. */
export interface ServerState {
  readonly name: string;
  readonly version: string;
  /** Its clock, epoch milliseconds. */
  readonly clockMs: number;
  /** When the answer was here, and half the way before, on our clock. */
  readonly heardMs: number;
  /** Writes to its disk before it acknowledges; undefined: it has no JetStream. */
  readonly syncs: boolean | undefined;
  /** Every so many seconds it writes to its disk, where it does not always. */
  readonly syncEveryS: number;
  /** Servers that keep JetStream's state, itself included; 1 = it stands alone. */
  readonly clusterSize: number;
}

const CONNECT_MS = 3_000;
/** Servers of one cluster answer within milliseconds; after the last answer they are waited for so long. */
const QUIET_MS = 300;
const WAIT_MS = 2_000;

/** What of a server's answer we read. */
interface Varz {
  readonly server: { readonly name: string; readonly ver: string };
  readonly data: {
    readonly now?: string;
    readonly jetstream?: {
      readonly config?: { readonly sync_interval?: number; readonly sync_always?: boolean };
      readonly meta?: { readonly cluster_size?: number };
    };
  };
}

/**
 * Asks every server of the cluster, as the user of the system account. Rejects when NATS does not let that user in, or none
 * answers; a server that does not answer is missing.
 */
export async function readServers(access: NatsAccess): Promise<ServerState[]> {
  const nc = await connectTransport({
    ...accessOptions(access),
    name: "bimip system reader",
    inboxPrefix: inboxPrefix(SYSTEM_USER),
    timeout: CONNECT_MS,
    reconnect: false,
  });
  try {
    const askedMs = Date.now();
    const answers = await nc.requestMany("$SYS.REQ.SERVER.PING.VARZ", "", {
      strategy: "stall",
      stall: QUIET_MS,
      maxWait: WAIT_MS,
    });
    const servers: ServerState[] = [];
    for await (const message of answers) {
      if (message instanceof Error) throw message;
      const heardMs = (askedMs + Date.now()) / 2;
      servers.push(stateOf(message.json<Varz>(), heardMs));
      if (servers.length >= expectedOf(servers)) break;
    }
    if (servers.length === 0) throw new Error("no server answers the user of the system account");
    return servers.sort((a, b) => a.name.localeCompare(b.name));
  } finally {
    await nc.close();
  }
}

function stateOf({ server, data }: Varz, heardMs: number): ServerState {
  const config = data.jetstream?.config;
  return {
    name: server.name,
    version: server.ver,
    clockMs: data.now === undefined ? heardMs : Date.parse(data.now),
    heardMs,
    syncs: config === undefined ? undefined : config.sync_always === true,
    syncEveryS: (config?.sync_interval ?? 0) / 1e9,
    clusterSize: data.jetstream?.meta?.cluster_size ?? 1,
  };
}

/**
 * What is wrong with the servers, in words. One that is down acknowledges nothing, and is no problem as long as most of them
 * answer.
 */
export function serverProblems(servers: readonly ServerState[], { mustSync }: { mustSync: boolean }): string[] {
  const problems = servers.flatMap(({ name, version }) => versionProblem(version, name) ?? []);
  const expected = expectedOf(servers);
  if (servers.length <= expected / 2 && mustSync)
    problems.push(`only ${servers.length} of ${expected} NATS servers say whether they fsync (BIMIP_NATS_SYNC)`);
  if (!mustSync) return problems;
  for (const { name, syncs, syncEveryS } of servers) {
    if (syncs === false)
      problems.push(
        `${name}: fsyncs every ${syncEveryS} s, not before it acknowledges (BIMIP_NATS_SYNC): sync_interval: always`,
      );
  }
  return problems;
}

/** How many servers there should be. */
export function expectedOf(servers: readonly ServerState[]): number {
  return Math.max(0, ...servers.map(({ clusterSize }) => clusterSize));
}

/** That a server is too old; undefined: it is not. */
export function versionProblem(version: string, name = "nats-server"): string | undefined {
  const isOlder = numbersOf(version) < numbersOf(OLDEST_SERVER);
  return isOlder ? `${name}: version is ${version}, older than ${OLDEST_SERVER}` : undefined;
}

function numbersOf(version: string): number {
  const [major = 0, minor = 0, patch = 0] = version.split("-")[0]?.split(".").map(Number) ?? [];
  return (major * 1_000 + minor) * 1_000 + patch;
}
