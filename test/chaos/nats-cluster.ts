import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { findNatsServer, type NatsServerHandle, startNatsServer } from "@bimip/devstack";
import { eventually } from "../kit/eventually.js";
import { choosePorts } from "./ports.js";
import { startTcpProxy, type TcpProxy } from "./tcp-proxy.js";

const NODES = 3;
const FORMED_WITHIN_MS = 60_000;
/** Nobody listens there: servers that gossip about each other must not find a way around our proxies. */
const NOWHERE = "127.0.0.1:1";

/** One nats-server of the cluster. */
export interface NatsNode {
  readonly name: string;
  readonly server: NatsServerHandle;
  /** The proxies that every route of this node runs through. */
  readonly routes: readonly TcpProxy[];
  /** Routes that stand, as the server itself counts them. @throws Error when it does not answer. */
  routeCount(): Promise<number>;
}

/** Three nats-servers with JetStream on files; every route between them runs through a proxy of ours. */
export interface NatsCluster {
  readonly nodes: readonly NatsNode[];
  /** NATS_URL of all. */
  readonly url: string;
  /** @throws Error when a route dials past its proxy, or a server does not sync each write to its disk. */
  verify(): Promise<void>;
  stop(): Promise<void>;
}

interface Ports {
  readonly client: number;
  readonly cluster: number;
  readonly monitor: number;
}

/** @param dataDir one folder per node is made in it */
export async function startNatsCluster(dataDir: string): Promise<NatsCluster> {
  const { path: binary } = await findNatsServer();
  const chosen = await choosePorts(NODES * 3);
  const ports = Array.from({ length: NODES }, (_, at): Ports => {
    const [client = 0, cluster = 0, monitor = 0] = chosen.slice(at * 3, at * 3 + 3);
    return { client, cluster, monitor };
  });
  // Each dials each: a server of a cluster does not start without a route to dial.
  const proxies: { readonly from: number; readonly to: number; readonly proxy: TcpProxy }[] = [];
  for (const [from] of ports.entries()) {
    for (const [to, { cluster }] of ports.entries()) {
      if (from !== to) proxies.push({ from, to, proxy: await startTcpProxy(() => cluster) });
    }
  }
  const dialled = (node: number): number[] =>
    proxies.filter(({ from }) => from === node).map(({ proxy }) => proxy.port);
  const ours = (): Set<number> => new Set(proxies.flatMap(({ proxy }) => [proxy.port, ...proxy.outgoingPorts]));
  const servers: NatsServerHandle[] = [];
  const killAll = (): void => {
    for (const { pid } of servers) killQuietly(pid);
  };
  process.once("exit", killAll);
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.stop()));
    await Promise.all(proxies.map(({ proxy }) => proxy.close()));
    process.off("exit", killAll);
  };
  try {
    // All at once: JetStream answers when most of them are there.
    const starts = await Promise.allSettled(
      ports.map(async ({ client, cluster, monitor }, at) => {
        const name = nodeName(at);
        const nodeDir = join(dataDir, name);
        await mkdir(nodeDir, { recursive: true });
        const config = [
          `http: "127.0.0.1:${monitor}"`,
          "cluster {",
          '  name: "chaos"',
          `  listen: "127.0.0.1:${cluster}"`,
          `  advertise: "${NOWHERE}"`,
          "  no_advertise: true",
          `  routes: [${dialled(at)
            .map((port) => `"nats://127.0.0.1:${port}"`)
            .join(", ")}]`,
          "}",
        ].join("\n");
        const jetstream = "sync_interval: always";
        servers[at] = await startNatsServer({ binary, dataDir: nodeDir, port: client, name, config, jetstream });
      }),
    );
    for (const start of starts) if (start.status === "rejected") throw start.reason;
    const nodes = servers.map((server, at): NatsNode => {
      const routes = proxies.filter(({ from, to }) => from === at || to === at).map(({ proxy }) => proxy);
      const monitor = ports[at]?.monitor ?? 0;
      return { name: nodeName(at), server, routes, routeCount: async () => (await readRoutes(monitor)).length };
    });
    await eventually("a cluster of three", () => isFormed(ports), FORMED_WITHIN_MS);
    const cluster: NatsCluster = {
      nodes,
      url: servers.map(({ url }) => url).join(","),
      verify: () => verify(ports, ours),
      stop,
    };
    await cluster.verify();
    return cluster;
  } catch (error) {
    await stop();
    throw error;
  }
}

const nodeName = (at: number): string => `nats-${at + 1}`;

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended
  }
}

/** A route as a server sees it; `port` is the other end's. */
interface Route {
  readonly port: number;
}

async function readRoutes(monitor: number): Promise<readonly Route[]> {
  const { routes } = (await ask(monitor, "routez")) as { routes?: Route[] };
  return routes ?? [];
}

/** One server leads JetStream and sees both others up to date. */
async function isFormed(ports: readonly Ports[]): Promise<boolean> {
  for (const { monitor } of ports) {
    const { meta_cluster: meta } = (await ask(monitor, "jsz")) as {
      meta_cluster?: { replicas?: readonly { readonly current: boolean }[] };
    };
    if (meta?.replicas?.filter(({ current }) => current).length === NODES - 1) return true;
  }
  return false;
}

async function verify(ports: readonly Ports[], ours: () => ReadonlySet<number>): Promise<void> {
  for (const [at, { monitor }] of ports.entries()) {
    const routes = await readRoutes(monitor);
    const known = ours();
    const past = routes.filter(({ port }) => !known.has(port));
    if (past.length > 0) throw new Error(`${nodeName(at)} has a route past the proxies: ${JSON.stringify(past)}`);
    const { config } = (await ask(monitor, "jsz?config=1")) as { config?: { sync_always?: boolean } };
    if (config?.sync_always !== true)
      throw new Error(`${nodeName(at)} does not sync always: ${JSON.stringify(config)}`);
  }
}

async function ask(monitor: number, path: string): Promise<unknown> {
  const response = await fetch(`http://127.0.0.1:${monitor}/${path}`, { signal: AbortSignal.timeout(2_000) });
  return response.json();
}
