// Three nats-servers as `bimip nats-config --tls` configures them: TLS with certificates of both sides on client and route
// connections. Plain connections and strangers' certificates are refused; the services work, and `bimip doctor` says so.
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { connectNats, type NatsAccess, NATS_CONFIG, NatsRefused, readServers } from "@bimip/nats";
import { createHealth, createLogger, createMetrics, type Health, type RunningService } from "@bimip/runtime";
import { createRouter, readConfig as readRouterConfig } from "@bimip/router";
import { createStorage, readConfig as readStorageConfig } from "@bimip/storage";
import { afterAll, beforeAll, expect, test } from "vitest";
import { choosePorts } from "../chaos/ports.js";
import { type ConfiguredNats, startConfiguredNats } from "../kit/configured-nats.js";
import { eventually } from "../kit/eventually.js";
import { type NatsConfig, runBimip, runNatsConfig } from "../kit/nats-config.js";

const NODES = 3;
const PARTITIONS = 2;

let dir: string;
let options: readonly string[];
let ports: readonly number[];
let config: NatsConfig;
let servers: ConfiguredNats[];
const services: RunningService[] = [];
const abort = new AbortController();

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "bimip-tls-"));
  ports = await choosePorts(NODES * 2);
  const hosts = Array.from({ length: NODES }, (_, at) => `127.0.0.1:${ports[at]}:${ports[NODES + at]}`).join(",");
  options = [
    "--out",
    join(dir, "nats"),
    "--nodes",
    "3",
    "--hosts",
    hosts,
    "--tls",
    "--partitions",
    String(PARTITIONS),
  ].concat(["--store-dir", join(dir, "store")]);
  config = await runNatsConfig(options);
  servers = await Promise.all(config.configs.map((path, at) => startConfiguredNats(path, ports[at] ?? 0)));
});
afterAll(async () => {
  abort.abort();
  for (const service of services) await service.stop();
  for (const server of servers) await server.stop();
  await rm(dir, { recursive: true, force: true });
});

function context(service: string): { health: Health } & Parameters<typeof createStorage>[1] {
  return {
    logger: createLogger(service, "silent"),
    metrics: createMetrics(service),
    health: createHealth(),
    signal: abort.signal,
  };
}

const attempt = (access: NatsAccess): Promise<unknown> =>
  connectNats({ ...access, name: "stranger" }).then(
    async ({ nc }) => (await nc.close(), "let in"),
    (error: unknown) => error,
  );

test("services work over it: three replicas, and every server seen to fsync", async () => {
  const own = context("storage");
  services.push(await createStorage(readStorageConfig(config.env("storage")), own));
  await eventually(
    () => JSON.stringify(own.health.ready),
    () => own.health.ready.ok,
    60_000,
  );
  expect(own.health.ready.parts[NATS_CONFIG]).toEqual({ ok: true });
  const { system } = config.access("storage");
  if (system === undefined) throw new Error("storage has no system user");
  const states = await readServers(system);
  expect(states.map(({ name, syncs, clusterSize }) => [name, syncs, clusterSize])).toEqual([
    ["nats-1", true, NODES],
    ["nats-2", true, NODES],
    ["nats-3", true, NODES],
  ]);
});

test("bimip doctor finds everything in order but the services that do not run", async () => {
  const router = context("router");
  services.push(await createRouter(readRouterConfig(config.env("router")), router));
  const failure: unknown = await runBimip(["doctor", "--json"], config.env("operator")).catch(
    (error: unknown) => error,
  );
  const output = (failure as { output: string }).output.trim().split("\n");
  const findings = output.map(
    (line) => JSON.parse(line) as { level: string; about: string; found: string; hint?: string },
  );
  expect(findings.filter(({ level }) => level === "fail").map(({ about, found }) => `${about}: ${found}`)).toEqual([
    "gateway: nobody answers",
    "awareness: nobody answers",
  ]);
  expect(String(failure)).toMatch(/2 of \d+ checks failed/);
  const fine = findings.filter(({ level }) => level === "ok").map(({ about, found }) => `${about}: ${found}`);
  expect(fine).toContain("nats-servers: 3 of 3 answer: nats-1, nats-2, nats-3");
  expect(fine).toContain("nats-2: fsyncs before it acknowledges");
  expect(fine.some((line) => /^LOG_1: as configured, replicas: 3, leader nats-\d/.test(line))).toBe(true);
  expect(fine.some((line) => /^storage \S+ \(\d+\): ready$/.test(line))).toBe(true);
});

test("without TLS nobody gets in, on client ports and on route ports", async () => {
  const { access } = config.access("gateway");
  const plain = await attempt({ servers: access.servers.replaceAll("tls://", "nats://"), nkeyFile: access.nkeyFile });
  expect(plain).toBeInstanceOf(NatsRefused);
  expect(String(plain)).toContain("BIMIP_NATS_CA_FILE is not set");
  for (const [at, port] of ports.entries()) {
    const { info, after } = await talkPlain(port);
    // A server greets clients in plain text, to say that they must change to TLS; other servers it does not.
    expect(info).toMatch(at < NODES ? /"tls_required":true/ : /^$/);
    expect(after, `port ${port} answers in plain text`).not.toMatch(/PONG|INFO/);
  }
});

test("a service that every server refuses says so and ends, and does not go round the cluster", async () => {
  const stranger = await runNatsConfig(["--out", join(dir, "stranger"), "--tls"]);
  const { nkeyFile } = stranger.access("gateway").access;
  const before = refusals();
  const refusal = await attempt({ ...config.access("gateway").access, nkeyFile });
  expect(refusal).toBeInstanceOf(NatsRefused);
  expect(String(refusal)).toMatch(/refuses the nkey of .*gateway\.nk.*BIMIP_NATS_NKEY_FILE/);
  await eventually("refused by each once", () => refusals() === before + NODES);
});

const refusals = (): number =>
  servers.reduce((sum, server) => sum + server.log().split("authentication error").length - 1, 0);

test.each([
  ["an authority whose key is kept elsewhere", ["ca-key.pem", "router.pem"], /ca-key\.pem is not there/],
  ["certificates of an older authority", ["ca.pem", "ca-key.pem"], /nats-1\.pem is of an older ca\.pem/],
  ["an authority without its certificate", ["ca.pem"], /ca\.pem is missing, its key is there/],
])("makes no certificate that does not fit: %s", async (_what, missing, why) => {
  const out = await mkdtemp(join(dir, "kept-"));
  await runNatsConfig(["--out", out, "--tls"]);
  for (const name of missing) await rm(join(out, "tls", name));
  // Nor the second time: nothing is left by halves.
  for (const _ of [1, 2]) await expect(runNatsConfig(["--out", out, "--tls"])).rejects.toThrow(why);
});

test("a server whose certificate is of another authority is not trusted", async () => {
  const stranger = await runNatsConfig(["--out", join(dir, "stranger"), "--tls"]);
  const caFile = stranger.access("gateway").access.caFile;
  const refusal = await attempt({ ...config.access("gateway").access, caFile });
  expect(refusal).toBeInstanceOf(NatsRefused);
  expect(String(refusal)).toMatch(/TLS with NATS at .* fails \([A-Z_]+\): BIMIP_NATS_CA_FILE is .*stranger/);
});

test("a client without a certificate, or with one of another authority, gets nothing, not on a route port either", async () => {
  const { caFile } = config.access("gateway").access;
  const stranger = await runNatsConfig(["--out", join(dir, "stranger"), "--tls"]);
  const { certFile = "", keyFile = "" } = stranger.access("gateway").access;
  const ca = await readFile(caFile ?? "");
  const strangers = { ca, cert: await readFile(certFile), key: await readFile(keyFile) };
  const own = config.access("gateway").access;
  const ours = { ca, cert: await readFile(own.certFile ?? ""), key: await readFile(own.keyFile ?? "") };
  for (const [at, port] of ports.entries()) {
    const greets = at < NODES;
    expect(await talkTls(port, greets, { ca })).toBe("cut off");
    expect(await talkTls(port, greets, strangers)).toBe("cut off");
    // So it is the certificate that makes the difference; a client's opens no route either, without the servers' password.
    expect(await talkTls(port, greets, ours)).toMatch(/Authorization Violation/);
  }
});

test("a server with its name in no certificate is not taken for ours", async () => {
  const { access } = config.access("gateway");
  const refusal = await attempt({ ...access, servers: `tls://localhost:${ports[0]}` });
  expect(String(refusal)).toContain("ERR_TLS_CERT_ALTNAME_INVALID");
});

test("run again it keeps every secret and certificate; what others could read or somebody else wrote is in the way", async () => {
  const before = await Promise.all(config.made.map((path) => readFile(path, "utf8")));
  const again = await runNatsConfig(options);
  expect(again.made).toEqual([]);
  expect(await Promise.all(config.made.map((path) => readFile(path, "utf8")))).toEqual(before);
  for (const path of config.made.filter((name) => !/(?<!-key)\.pem$/.test(name)))
    expect((await stat(path)).mode & 0o077, path).toBe(0);

  const other = join(dir, "stranger");
  await writeFile(join(other, "credentials", "gateway.nk"), "SUAB", { mode: 0o600 });
  await expect(runNatsConfig(["--out", other])).rejects.toThrow("gateway.nk holds no nkey seed");
  await rm(join(other, "credentials", "gateway.nk"));
  await writeFile(join(other, "users.conf"), "mine");
  await expect(runNatsConfig(["--out", other])).rejects.toThrow("users.conf is there and was not made by this command");
  await rm(join(other, "users.conf"));
  await expect(runNatsConfig(["--out", other, "--hosts", "elsewhere", "--tls"])).rejects.toThrow(
    "is not for elsewhere",
  );
});

/** What a server says in plain text: its greeting, and its answer to a ping. */
function talkPlain(port: number): Promise<{ info: string; after: string }> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: "127.0.0.1" });
    let info = "";
    let after = "";
    socket.once("connect", () => socket.write('CONNECT {"verbose":false}\r\nPING\r\n'));
    socket.on("data", (chunk: Buffer) => {
      if (info.includes("\r\n")) after += chunk.toString("latin1");
      else if (chunk.toString("latin1").startsWith("INFO")) info += chunk.toString("latin1");
    });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve({ info, after }));
  });
}

/**
 * What a server says over TLS to who names no user; `cut off` when it says nothing at all.
 *
 * @param greets it speaks first, in plain text
 */
function talkTls(
  port: number,
  greets: boolean,
  certificates: { ca: Buffer; cert?: Buffer; key?: Buffer },
): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: "127.0.0.1" });
    let said = "";
    const begin = (): void => {
      const secure = connectTls({ socket, ...certificates, host: "127.0.0.1" });
      secure.on("secureConnect", () => secure.write('CONNECT {"verbose":false}\r\nPING\r\n'));
      secure.on("data", (chunk: Buffer) => {
        said += chunk.toString("latin1");
      });
      secure.on("error", () => undefined);
      secure.on("close", () => resolve(said === "" ? "cut off" : said));
    };
    if (greets) socket.once("data", begin);
    else socket.once("connect", begin);
    socket.on("error", () => resolve("cut off"));
  });
}
