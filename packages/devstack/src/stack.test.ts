import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "@bimip/runtime";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { findNatsServer } from "./find-nats-server.js";
import { recordProcess } from "./left-over.js";
import { identifyProcess } from "./process-identity.js";
import type { ServiceSpec } from "./service-spec.js";
import { type Stack, type StackOptions, startStack } from "./stack.js";
import type { StackEvent } from "./stack-event.js";

// Says that it is ready, and what it was started with; ends in order when asked to.
const OBEDIENT = `
  const { NATS_URL, BIMIP_PORT, BIMIP_HOST, BIMIP_JWT_SECRET, BIMIP_DATA_DIR } = process.env;
  console.log(JSON.stringify({ NATS_URL, BIMIP_PORT, BIMIP_HOST, BIMIP_JWT_SECRET, BIMIP_DATA_DIR }));
  process.on("SIGTERM", () => process.exit(0));
  process.send({ type: "ready" });
  setInterval(() => {}, 1000);`;

let dir: string;
let dataDir: string;
let events: StackEvent[];
let stacks: Stack[];
let env: NodeJS.ProcessEnv;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "bimip-stack-"));
  dataDir = join(dir, "data");
  events = [];
  stacks = [];
  env = { PATH: process.env["PATH"], BIMIP_NATS_SERVER: (await findNatsServer()).path };
}, 300_000);
afterEach(async () => {
  await Promise.all(stacks.map((stack) => stack.stop()));
  await rm(dir, { recursive: true, force: true });
});

async function service(name: string, script = OBEDIENT): Promise<ServiceSpec> {
  const path = join(dir, `${name}.cjs`);
  await writeFile(path, script);
  return { name, script: path };
}

async function start(options: Partial<StackOptions> & { services: readonly ServiceSpec[] }): Promise<Stack> {
  const onEvent = (event: StackEvent) => void events.push(event);
  const stack = await startStack({ dataDir, env, port: 0, onEvent, ...options });
  stacks.push(stack);
  return stack;
}

const logOf = (name: string) => readFile(join(dataDir, "logs", `${name}.log`), "utf8");
const seen = (type: StackEvent["type"]) => events.filter((event) => event.type === type);

test("each service gets the addresses, the secret and the data directory; stop ends nats-server last", async () => {
  const services = [await service("storage"), await service("router"), await service("gateway")];
  const stack = await start({ services });
  const pids = stack.processes();
  expect(pids.map(({ name }) => name)).toEqual(["nats-server", "storage", "router", "gateway"]);
  const port = new URL(stack.httpUrl).port;
  expect(stack.url).toBe(`ws://127.0.0.1:${port}/v1/ws`);
  expect(JSON.parse(await logOf("router"))).toEqual({
    NATS_URL: stack.natsUrl,
    BIMIP_PORT: port,
    BIMIP_HOST: "127.0.0.1",
    BIMIP_JWT_SECRET: stack.secret,
    BIMIP_DATA_DIR: dataDir,
  });
  await stack.stop();
  const stopped = seen("stopped").map((event) => "name" in event && event.name);
  expect(stopped[0]).toBe("gateway");
  expect(new Set(stopped.slice(1, 3))).toEqual(new Set(["router", "storage"]));
  expect(stopped.slice(3)).toEqual(["nats-server"]);
  expect(seen("exited")).toEqual([]);
  for (const { pid } of pids) expect(await identifyProcess(pid)).toBeUndefined();
});

test("the secret is made once, for its owner's eyes only; a second start uses it and the same data", async () => {
  const services = [await service("gateway")];
  const first = await start({ services });
  await first.stop();
  const second = await start({ services });
  expect(second.secret).toBe(first.secret);
  expect(Buffer.from(first.secret, "base64url")).toHaveLength(32);
  expect((await stat(join(dataDir, "jwt-secret"))).mode & 0o777).toBe(0o600);
  await second.stop();
  const given = "x".repeat(32);
  const third = await start({ services, env: { ...env, BIMIP_JWT_SECRET: given } });
  expect(third.secret).toBe(given);
});

test("what dies is started again with a new process id, nats-server on the same port", async () => {
  const stack = await start({ services: [await service("storage"), await service("gateway")] });
  const before = stack.processes();
  for (const name of ["gateway", "nats-server"]) {
    await stack.process(name).kill("SIGKILL");
    await vi.waitFor(() => expect(seen("restarting")).toContainEqual({ type: "restarting", name, delayMs: 100 }));
    await stack.ready();
  }
  const after = stack.processes();
  expect(after.map(({ pid }, index) => pid === before[index]?.pid)).toEqual([false, true, false]);
  for (const { pid } of after) expect(await identifyProcess(pid)).toBeDefined();
  expect(await readFile(join(dataDir, "nats-server.conf"), "utf8")).toContain(`port: ${new URL(stack.natsUrl).port}\n`);
});

test("a service that dies before it is ready fails the start with its log, and nothing is left running", async () => {
  const services = [await service("storage"), await service("gateway", "console.log('no database'); process.exit(7)")];
  await expect(start({ services })).rejects.toThrow(/gateway is not ready: ended with code 7.*no database/s);
  const started = events.flatMap((event) => (event.type === "started" ? [event.pid] : []));
  expect(started.length).toBe(5); // nats-server, storage, and the gateway three times
  for (const pid of started) expect(await identifyProcess(pid)).toBeUndefined();
  // And the data directory is free again.
  await start({ services: [await service("storage")] });
});

test("of a service's log only its last fatal word is told, not its stack, and nothing of earlier runs", async () => {
  const line = (msg: string) => JSON.stringify({ level: "fatal", err: { stack: "at a.js:1" }, msg });
  await mkdir(join(dataDir, "logs"), { recursive: true });
  await writeFile(join(dataDir, "logs", "gateway.log"), `${line("start failed: of yesterday")}\n`);
  const fatal = `console.log(${JSON.stringify(line("start failed: no disk"))}); process.exit(1)`;
  const services = [await service("gateway", fatal)];
  await expect(start({ services })).rejects.toThrow(
    new Error(`gateway is not ready: ended with code 1. start failed: no disk (${join(dataDir, "logs/gateway.log")})`),
  );
  const silent = start({ services: [await service("gateway", "console.log('{ no json'); process.exit(1)")] });
  const error = await silent.catch((reason: unknown) => String(reason));
  expect(error).toContain("gateway.log:\n{ no json");
  expect(error).not.toContain("start failed");
});

test("all wrong settings of all services are told at once, before anything is started", async () => {
  const wrong = { BIMIP_PUSH_MAX_TRIES: "0", BIMIP_OFFLINE_GRACE_MS: "soon", BIMIP_RATE_BYTES: "5", BIMIP_PROT: "1" };
  const starting = start({ services: [await service("gateway")], env: { ...env, ...wrong } });
  const error = await starting.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ConfigError);
  const named = (error as ConfigError).problems.map((problem) => /\w+/.exec(problem)?.[0]);
  expect(new Set(named)).toEqual(new Set(Object.keys(wrong)));
  expect(events).toEqual([]);
});

test("a service that does not stop is killed after its deadline", async () => {
  const stubborn = `process.on("SIGTERM", () => {}); ${OBEDIENT.replace('process.on("SIGTERM", () => process.exit(0));', "")}`;
  const services = [await service("gateway", stubborn)];
  const stack = await start({ services, env: { ...env, BIMIP_STOP_DEADLINE_MS: "100" } });
  const { pid } = stack.process("gateway");
  await stack.stop();
  expect(await identifyProcess(pid)).toBeUndefined();
});

test("what ends by itself during a stop, as after Ctrl-C, is neither news nor in the way", async () => {
  const stack = await start({ services: [await service("storage"), await service("gateway")] });
  const before = events.length;
  const stopped = stack.stop();
  await Promise.all([stack.process("storage").kill("SIGINT"), stack.process("nats-server").kill("SIGINT")]);
  await stopped;
  expect(events.slice(before).map(({ type }) => type)).toEqual(["stopped", "stopped", "stopped"]);
  for (const { pid } of stack.processes()) expect(await identifyProcess(pid)).toBeUndefined();
});

test("a start can be given up; nothing is left running", async () => {
  const silent = await service("gateway", "setInterval(() => {}, 1000)");
  const giveUp = new AbortController();
  const onEvent = (event: StackEvent) => {
    events.push(event);
    if (event.type === "started" && event.name === "gateway") giveUp.abort(new Error("changed my mind"));
  };
  await expect(start({ services: [silent], onEvent, signal: giveUp.signal })).rejects.toThrow("changed my mind");
  const pids = events.flatMap((event) => (event.type === "started" ? [event.pid] : []));
  expect(pids).toHaveLength(2);
  for (const pid of pids) expect(await identifyProcess(pid)).toBeUndefined();
  await expect(start({ services: [silent], signal: giveUp.signal })).rejects.toThrow("changed my mind");
});

test("a second start on the same data directory is told who has it", async () => {
  const services = [await service("gateway")];
  await start({ services });
  await expect(start({ services })).rejects.toThrow(`${dataDir} is in use by another start (process ${process.pid})`);
});

test("a port that is taken is refused by the name of its variable, before anything starts", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const address = taken.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const services = [await service("gateway")];
  await expect(start({ services, port })).rejects.toThrow(
    `port ${port} on 127.0.0.1 is taken: set BIMIP_PORT to another one`,
  );
  taken.close();
  expect(seen("started")).toEqual([]);
  await expect(start({ services, env: { ...env, BIMIP_PORT: "99999" } })).rejects.toThrow(/BIMIP_PORT/);
});

test("a given NATS_URL is used instead of a server of its own; each further gateway has a port and a name", async () => {
  const natsUrl = "nats://127.0.0.1:4";
  const services = [await service("gateway"), await service("gateway-2")];
  const stack = await start({ services, env: { ...env, NATS_URL: natsUrl }, gateways: 2 });
  expect(stack.natsUrl).toBe(natsUrl);
  expect(stack.processes().map(({ name }) => name)).toEqual(["gateway", "gateway-2"]);
  expect(stack.gateways.map(({ name }) => name)).toEqual(["gateway", "gateway-2"]);
  expect(new Set(stack.gateways.map(({ url }) => url)).size).toBe(2);
  expect(() => stack.process("nats-server")).toThrow("no process nats-server: there are gateway, gateway-2");
});

test("what a kill -9 of the whole stack's parent leaves running is ended by the next start", async () => {
  const spec = await service("gateway");
  const first = await start({ services: [spec] });
  await first.stop();
  const confFile = join(dataDir, "nats-server.conf");
  // The same processes, but of a parent that is gone and cannot tell.
  const script = `
    const { spawn } = require("node:child_process");
    const [binary, conf, gateway] = process.argv.slice(1);
    const server = spawn(binary, ["-c", conf], { stdio: "ignore" });
    const service = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)", gateway], { stdio: "ignore" });
    process.stdout.write(server.pid + " " + service.pid, () => process.kill(process.pid, "SIGKILL"));`;
  const parent = spawn(process.execPath, ["-e", script, "--", env["BIMIP_NATS_SERVER"] ?? "", confFile, spec.script]);
  let said = "";
  parent.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  await once(parent, "close");
  const orphans = said.split(" ").map(Number);
  expect(orphans).toHaveLength(2);
  await writeFile(join(dataDir, "nats-server.pid"), String(orphans[0]));
  await recordProcess(join(dataDir, "run/gateway.pid"), orphans[1] ?? 0);

  const second = await start({ services: [spec] });
  for (const pid of orphans) expect(await identifyProcess(pid)).toBeUndefined();
  expect(seen("left-over")).toEqual([
    { type: "left-over", name: "gateway", pid: orphans[1] },
    { type: "left-over", name: "nats-server", pid: orphans[0] },
  ]);
  await second.stop();
});
