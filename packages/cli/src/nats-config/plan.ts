import { isIP } from "node:net";
import { UsageError } from "../cli-error.js";

/** One nats-server of an installation. */
export interface NodePlan {
  /** `nats-1`, `nats-2` …; also of its files. */
  readonly name: string;
  /** Name or address that services and the other servers reach it at. */
  readonly host: string;
  readonly port: number;
  readonly routePort: number;
}

/** What is to be generated. */
export interface NatsPlan {
  readonly nodes: readonly NodePlan[];
  readonly partitions: number;
  readonly tls: boolean;
  readonly auth: "nkey" | "password";
  /** Where the generated files stand on the machines that use them. */
  readonly installedAt: string;
  /** Of nats-server; each has a folder of its own in it. */
  readonly storeDir: string;
}

const PORT = 4222;
const ROUTE_PORT = 6222;

/**
 * The servers by what was said on the command line.
 *
 * @param hosts `host`, `host:port` or `host:port:route port` for each; none: 127.0.0.1, or nats-1 and so on
 * @throws UsageError when their number does not fit, or one does not parse
 */
export function planNodes(count: number, hosts: readonly string[]): NodePlan[] {
  const given = hosts.length > 0 ? hosts : count === 1 ? ["127.0.0.1"] : names(count);
  if (given.length !== count)
    throw new UsageError(`--hosts names ${given.length} servers, --nodes is ${count}: one host for each.`);
  return given.map((text, at) => {
    const [host = "", port = String(PORT), routePort = String(ROUTE_PORT), ...more] = text.split(":");
    if (!/^[A-Za-z0-9][A-Za-z0-9.-]*$/.test(host) || more.length > 0)
      throw new UsageError(`--hosts: "${text}" is not host, host:port or host:port:route-port.`);
    return { name: `nats-${at + 1}`, host, port: portOf(port, text), routePort: portOf(routePort, text) };
  });
}

function names(count: number): string[] {
  return Array.from({ length: count }, (_, at) => `nats-${at + 1}`);
}

function portOf(text: string, whole: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535)
    throw new UsageError(`--hosts: "${whole}" has no port from 1 to 65535 where one belongs.`);
  return port;
}

/** Where it listens: on every interface, but for an address of this machine alone. */
export function listenHost(host: string): string {
  return host === "localhost" || (isIP(host) === 4 && host.startsWith("127.")) ? host : "0.0.0.0";
}

/** NATS_URL of all. */
export function natsUrl({ nodes, tls }: NatsPlan): string {
  return nodes.map(({ host, port }) => `${tls ? "tls" : "nats"}://${host}:${port}`).join(",");
}
