import { readFileSync } from "node:fs";
import { X509Certificate } from "node:crypto";
import {
  expectedOf,
  type NatsAccess,
  type NatsConnection,
  readServers,
  type ServerState,
  type ServiceAccess,
  versionProblem,
} from "@bimip/nats";
import { fail, type Finding, ok, textOf, warn } from "./finding.js";

/** Two machines whose clocks differ by so much are worth a look. */
export const CLOCK_MS = 250;
const EXPIRES_SOON_MS = 30 * 24 * 3_600_000;

/** The server that we are connected to, and every server of the cluster where the system account can be asked. */
export async function checkServers(nc: NatsConnection, { system, mustSync }: ServiceAccess): Promise<Finding[]> {
  const version = nc.info?.version ?? "";
  const name = nc.info?.server_name ?? "nats-server";
  if (system === undefined) {
    const hint = "set BIMIP_NATS_SYSTEM_NKEY_FILE, or BIMIP_NATS_SYSTEM_USER and BIMIP_NATS_SYSTEM_PASSWORD_FILE";
    const unknown = "fsync, members and clocks: unknown, no system user configured";
    return [ofVersion(name, version), warn("nats-servers", unknown, hint)];
  }
  let servers: ServerState[];
  try {
    servers = await readServers(system);
  } catch (error) {
    const hint = "see the BIMIP_NATS_SYSTEM_ variables and the account SYS of nats-server's configuration";
    return [ofVersion(name, version), fail("nats-servers", `the system user gets no answer: ${textOf(error)}`, hint)];
  }
  return [
    ...servers.map((server) => ofVersion(server.name, server.version)),
    ...ofMembers(servers),
    ...servers.flatMap((server) => [ofSync(server, mustSync), ofClock(server)]),
  ];
}

function ofVersion(name: string, version: string): Finding {
  const problem = versionProblem(version, name);
  if (problem === undefined) return ok(name, `nats-server ${version}`);
  return fail(name, problem, "install a newer nats-server");
}

function ofMembers(servers: readonly ServerState[]): Finding[] {
  const expected = expectedOf(servers);
  const names = servers.map(({ name }) => name).join(", ");
  if (servers.length >= expected) return [ok("nats-servers", `${servers.length} of ${expected} answer: ${names}`)];
  return [
    fail(
      "nats-servers",
      `only ${servers.length} of ${expected} answer: ${names}`,
      "start the others, and see their logs",
    ),
  ];
}

function ofSync({ name, syncs, syncEveryS }: ServerState, mustSync: boolean): Finding {
  if (syncs === true) return ok(name, "fsyncs before it acknowledges");
  if (syncs === undefined) return fail(name, "has no JetStream", "give it a jetstream block with a store_dir");
  const found = `fsyncs every ${syncEveryS} s: a power cut loses what was acknowledged`;
  return (mustSync ? fail : warn)(name, found, "set sync_interval: always in its jetstream block");
}

function ofClock({ name, clockMs, heardMs }: ServerState): Finding {
  return clockFinding(name, clockMs - heardMs);
}

/** @param offMs how far a clock is before ours; it took some milliseconds to ask */
export function clockFinding(about: string, offMs: number): Finding {
  const found = `clock ${offMs < 0 ? "" : "+"}${Math.round(offMs)} ms from here`;
  return Math.abs(offMs) <= CLOCK_MS ? ok(about, found) : warn(about, found, "let NTP set the clocks of all machines");
}

/** When our own certificates expire. */
export function checkCertificates({ caFile, certFile }: NatsAccess): Finding[] {
  return [caFile, certFile].flatMap((path) => {
    if (path === undefined) return [];
    const validTo = new X509Certificate(readFileSync(path)).validTo;
    const leftMs = Date.parse(validTo) - Date.now();
    if (leftMs > EXPIRES_SOON_MS) return [ok(path, `valid until ${validTo}`)];
    const hint = "renew it: bimip nats-config makes what is missing";
    return [(leftMs > 0 ? warn : fail)(path, `${leftMs > 0 ? "expires" : "expired"} ${validTo}`, hint)];
  });
}
