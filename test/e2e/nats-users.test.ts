// Everything over three nats-servers as `bimip nats-config --tls` configures them, each service with its own nkey and
// certificate: messages, receipts, presence, push, revocation, export, erasing, kills of every service and of a nats-server. Nothing may
// be tried that the permissions do not hold, by the services' logs and by nats-server's. Cannot show: what no user does here.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { issueToken } from "@bimip/auth";
import { bimipServices, type Stack, startStack } from "@bimip/devstack";
import type { NatsUser } from "@bimip/nats";
import { AwarenessStatus, SignalSchema, SignalStatus, SignalType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { choosePorts } from "../chaos/ports.js";
import { type ConfiguredNats, startConfiguredNats } from "../kit/configured-nats.js";
import { befriend } from "../kit/contacts.js";
import { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { HttpReceiver } from "../kit/http-receiver.js";
import { type NatsConfig, runBimip, runNatsConfig } from "../kit/nats-config.js";
import { natsViolations } from "../kit/nats-violations.js";
import { PUSH_ENV } from "../kit/push-system.js";

const NODES = 3;
const SERVICES = ["storage", "router", "awareness", "gateway"] as const;

let dir: string;
let config: NatsConfig;
let ports: readonly number[];
let servers: ConfiguredNats[];
let webhook: HttpReceiver;
let stack: Stack;
const logs: string[] = [];
const devices: Device[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "bimip-users-"));
  ports = await choosePorts(NODES * 2);
  const hosts = Array.from({ length: NODES }, (_, at) => `127.0.0.1:${ports[at]}:${ports[NODES + at]}`).join(",");
  const options = [
    "--out",
    join(dir, "nats"),
    "--nodes",
    "3",
    "--hosts",
    hosts,
    "--store-dir",
    join(dir, "store"),
    "--tls",
  ];
  config = await runNatsConfig(options);
  servers = await Promise.all(config.configs.map((path, at) => startConfiguredNats(path, ports[at] ?? 0)));
  webhook = await HttpReceiver.start();
  const [port = 0] = await choosePorts(1);
  const env = { ...process.env, ...PUSH_ENV, BIMIP_PUSH_WEBHOOK_URL: webhook.url, BIMIP_LOG_LEVEL: "warn" };
  const services = bimipServices([port], env).map((spec) => ({
    ...spec,
    env: { ...spec.env, ...config.env(spec.name as NatsUser) },
  }));
  const natsUrl = config.env("storage")["NATS_URL"] ?? "";
  stack = await startStack({ dataDir: join(dir, "stack"), env, services, natsUrl, port });
});
afterAll(async () => {
  for (const device of devices) device.socket.terminate();
  await stack.stop();
  await webhook.stop();
  for (const server of servers) {
    logs.push(server.log());
    await server.stop();
  }
  const violations = natsViolations(stack.dataDir);
  const refused = logs
    .join("\n")
    .split("\n")
    .filter((line) => /violation/i.test(line));
  await rm(dir, { recursive: true, force: true });
  expect(violations).toEqual([]);
  expect(refused).toEqual([]);
});

async function connect(eid: string, device: string): Promise<Device> {
  const token = await issueToken({ secret: stack.secret, eid, device });
  const opened = await eventually(
    `${eid} is let in`,
    () => Device.open(stack.url, { token }).catch(() => undefined),
    60_000,
  );
  devices.push(opened);
  return opened;
}

const operator = (...args: string[]): Promise<string> => runBimip(args, config.env("operator"));

test("bimip doctor finds nothing wrong", async () => {
  const findings = (await operator("doctor", "--json"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { level: string; about: string });
  expect(findings.filter(({ level }) => level !== "ok")).toEqual([]);
  const about = findings.map((finding) => finding.about).join("\n");
  for (const service of SERVICES) expect(about).toMatch(new RegExp(`^${service} `, "m"));
});

test("messages, receipts, presence and push", async () => {
  const [alice, bob] = await Promise.all([connect("alice@x", "phone"), connect("bob@x", "phone")]);
  await befriend(alice, bob);
  await alice.messageSent({ id: "m1", to: { eid: "bob@x" }, type: "text", payload: { data: { text: "hello" } } });
  const { id, from, monotonicId } = await bob.until("message", (message) => message.id === "m1");
  const read = { type: SignalType.REQUEST, status: SignalStatus.READ, id, monotonicId };
  bob.send("signal", create(SignalSchema, from === undefined ? read : { ...read, to: from }));
  await alice.until("signal", ({ id, status }) => id === "m1" && status === SignalStatus.READ);
  await alice.messageSent({ id: "m2", to: { eid: "carol@x" }, type: "text", payload: { data: { text: "wake up" } } });
  await webhook.count("carol@x", 1);
  await bob.close();
  await alice.sees("bob@x", AwarenessStatus.OFFLINE, 30_000);
});

test("kills of every service and of a nats-server: what was confirmed is there afterwards", async () => {
  const alice = await connect("dave@x", "phone");
  for (const service of SERVICES.slice(0, 3)) {
    await stack.process(service).kill("SIGKILL");
    await alice.messageSent({ id: `after ${service}`, to: { eid: "erin@x" }, type: "text", payload: { data: {} } });
  }
  const [first, path = ""] = [servers[0], config.configs[0]];
  logs.push(first?.log() ?? "");
  await first?.stop();
  await alice.messageSent({ id: "after nats-1", to: { eid: "erin@x" }, type: "text", payload: { data: {} } });
  servers[0] = await startConfiguredNats(path, ports[0] ?? 0);
  await stack.process("gateway").kill("SIGKILL");
  await stack.ready();
  const erin = await connect("erin@x", "phone");
  const wanted = ["after storage", "after router", "after awareness", "after nats-1"];
  await eventually("all is there", () => wanted.every((id) => erin.of("message").some((message) => message.id === id)));
});

test("the operator exports, revokes and erases", async () => {
  const exported = (await operator("export", "erin@x")).trim().split("\n");
  expect(exported).toHaveLength(4);
  const erin = await connect("erin@x", "tablet");
  await operator("token", "revoke", "--eid", "erin@x");
  await erin.closing();
  expect(JSON.parse(await operator("erase", "erin@x", "--yes", "--json"))).toMatchObject({ eid: "erin@x", erased: 4 });
});
