// A session whose gateway cannot hear that a newer one of its device opened elsewhere: whenever it hears it, it ends, and nothing that came
// after is confirmed to it. One of the two gateways has its NATS connection behind a proxy. Cannot show: several nats-servers,
// where a claim and a PubAck come by different ways.
import { developmentLimits } from "@bimip/devstack";
import { createGateway, readConfig } from "@bimip/gateway";
import { BUCKETS, CasBucket, call, connectNats, type Link, PROCEDURES } from "@bimip/nats";
import { IdentitySchema, LogoutType, nameToToken, SignalSchema, SignalStatus, SignalType } from "@bimip/protocol";
import { createHealth, createLogger, createMetrics } from "@bimip/runtime";
import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test } from "vitest";
import { decodeRecord } from "../../services/storage/src/user-record.js";
import { startTcpProxy, type TcpProxy } from "../chaos/tcp-proxy.js";
import { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { SECRET, startSystem, type System } from "../kit/system.js";

let system: System;
let link: Link;
let proxy: TcpProxy;
let gateway: Awaited<ReturnType<typeof createGateway>>;
let abort: AbortController;

beforeEach(async () => {
  system = await startSystem({ awareness: 2 });
  link = await connectNats({ servers: system.nats.url, name: "test" });
  proxy = await startTcpProxy(() => Number(new URL(system.nats.url).port));
  abort = new AbortController();
  const env = {
    ...developmentLimits({}),
    ...system.nats.env("gateway"),
    NATS_URL: `nats://127.0.0.1:${proxy.port}`,
    BIMIP_JWT_SECRET: SECRET,
    BIMIP_PORT: "0",
    BIMIP_NODE: "behind-the-proxy",
  };
  gateway = await createGateway(readConfig(env), {
    logger: createLogger("gateway", "silent"),
    metrics: createMetrics("gateway"),
    health: createHealth(),
    signal: abort.signal,
  });
});
afterEach(async () => {
  proxy.heal();
  abort.abort();
  await gateway.stop();
  await proxy.close();
  await link.nc.close();
  await system.stop();
});

async function behindTheProxy(eid: string, device = "phone"): Promise<Device> {
  const token = await system.token(eid, device);
  const opened = await Device.open(`ws://127.0.0.1:${gateway.port}/v1/ws`, { token });
  // Its registration has been answered.
  await opened.pictured();
  return opened;
}

/** Ids of all messages in the user's log. */
async function stored(eid: string): Promise<string[]> {
  const reader = await system.device(eid, "reader", { everything: true });
  return reader.of("message").map(({ id }) => id);
}

/** As it is stored. */
async function cursorOf(eid: string): Promise<bigint> {
  const value = await (await CasBucket.open(link.nc, BUCKETS.users)).read(nameToToken(eid));
  return BigInt(value === undefined ? 0 : (decodeRecord(value.bytes).devices.get("phone")?.cursor ?? 0));
}

const confirmed = (device: Device): string[] =>
  device
    .of("signal")
    .filter(({ status }) => status === SignalStatus.SENT)
    .map(({ id }) => id);

async function expectReplaced(device: Device): Promise<void> {
  expect((await device.closing()).code).toBe(4409);
  expect(device.of("logout")).toMatchObject([{ type: LogoutType.SESSION, status: 1 }]);
}

test("what comes to it from NATS is held up: a message sent after the newer session opened is not confirmed to it", async () => {
  const old = await behindTheProxy("held@x");
  await old.messageSent({ id: "before", to: { eid: "bob@x" } });
  proxy.freeze("down");
  const newer = await system.device("held@x", "phone");
  await newer.pictured();
  // It still gets out, and is stored, but its PubAck comes behind the claim.
  old.message({ id: "after", to: { eid: "bob@x" } });
  await eventually("it is stored", async () => (await stored("bob@x")).includes("after"));
  expect(old.closed).toBeUndefined();
  proxy.heal();
  await expectReplaced(old);
  expect(confirmed(old)).toEqual(["before"]);
  await newer.messageSent({ id: "later", to: { eid: "bob@x" } });
  // What it repeats is stored once.
  await newer.messageSent({ id: "after", to: { eid: "bob@x" } });
  expect((await stored("bob@x")).filter((id) => id === "after")).toHaveLength(1);
});

test("NATS was away from it: at the return it ends, and what it took meanwhile is not confirmed", async () => {
  const old = await behindTheProxy("away@x");
  await old.messageSent({ id: "before", to: { eid: "bob@x" } });
  proxy.cut();
  const newer = await system.device("away@x", "phone");
  await newer.pictured();
  old.message({ id: "after", to: { eid: "bob@x" } });
  await old.settle();
  expect(old.closed).toBeUndefined();
  proxy.heal();
  await expectReplaced(old);
  expect(confirmed(old)).toEqual(["before"]);
  await newer.settle();
  expect(newer.closed).toBeUndefined();
});

test("NATS was away from it and nothing happened meanwhile: what it took is confirmed after the return, with a registry and without", async () => {
  const device = await behindTheProxy("same@x");
  for (const round of ["with", "without"]) {
    if (round === "without") await system.stopServices("awareness");
    proxy.cut();
    device.message({ id: round, to: { eid: "bob@x" } });
    await device.settle();
    proxy.heal();
    await device.sent(round, "bob@x");
  }
  expect(device.closed).toBeUndefined();
});

test("the claim that replaces it got lost, and the newer session has ended: it ends all the same once its gateway asks", async () => {
  const old = await behindTheProxy("round@x");
  const event = { eid: "round@x", device: "phone", node: "far", gateway: "faraway", sessionId: "s", number: 1n };
  const opening = { ...event, open: true, timestamp: BigInt(Date.now()) };
  // Nothing of what awareness publishes gets through, but the connection stands.
  proxy.freeze("down");
  const { contested } = await call(link.nc, PROCEDURES.sessionEvent, opening, 5_000);
  await call(link.nc, PROCEDURES.sessionEvent, { ...opening, over: contested }, 5_000);
  const since = opening.timestamp;
  await call(link.nc, PROCEDURES.sessionEvent, { ...event, timestamp: BigInt(Date.now()), since }, 5_000);
  expect(old.closed).toBeUndefined();
  proxy.cut();
  proxy.heal();
  await expectReplaced(old);
});

test("what a replaced session still reports of its cursor does no harm: nothing goes back, nothing is skipped", async () => {
  const alice = await system.device("alice@x", "phone");
  const old = await behindTheProxy("cursor@x");
  for (let n = 1; n <= 6; n++) await alice.messageSent({ id: `m${n}`, to: { eid: "cursor@x" } });
  const messages = await old.count("message", 6);
  const index = (n: number): bigint => messages[n - 1]?.monotonicId ?? 0n;
  const acknowledge = (device: Device, n: number): void => {
    const to = create(IdentitySchema, { eid: "alice@x" });
    const receipt = {
      id: `m${n}`,
      to,
      type: SignalType.REQUEST,
      status: SignalStatus.DELIVERED,
      monotonicId: index(n),
    };
    device.send("signal", create(SignalSchema, receipt));
  };
  acknowledge(old, 2);
  await old.settle();
  // What its gateway gathered of that cannot be told any more.
  proxy.freeze("both");
  const newer = await system.device("cursor@x", "phone", { settle: false });
  await eventually("it is replayed from somewhere below", () => newer.of("message").at(-1)?.id === "m6");
  acknowledge(newer, 5);
  await newer.settle();
  acknowledge(old, 3);
  await old.settle();
  await eventually("the newer one's is stored", async () => (await cursorOf("cursor@x")) === index(5));
  proxy.heal();
  await expectReplaced(old);
  await gateway.stop(); // whatever it still has it has told now
  expect(await cursorOf("cursor@x")).toBe(index(5));
  await newer.close();
  const last = await system.device("cursor@x", "phone");
  expect(last.of("message").map(({ id }) => id)).toEqual(["m6"]);
});
