// The SDK and the operator's commands against the real services: what the fake gateway of the unit tests cannot show.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { createProgram } from "@bimip/cli";
import {
  type BimipClient,
  type ClientOptions,
  createClient,
  fileStore,
  type HistoryItem,
  memoryStore,
} from "@bimip/client";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { startSystem, type System } from "../kit/system.js";

let system: System;
let dir: string;
const clients: BimipClient[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "bimip-sdk-"));
  system = await startSystem({ gateways: 2 });
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
});
afterAll(async () => {
  await system.stop();
  await rm(dir, { recursive: true });
});

/** Not connected yet. */
async function clientOf(
  eid: string,
  device: string,
  { gateway = 0, scope, ...options }: Partial<ClientOptions> & { gateway?: number; scope?: string } = {},
): Promise<BimipClient> {
  const token = await system.token(eid, device, scope === undefined ? {} : { scope });
  const reconnect = { minDelayMs: 20, maxDelayMs: 200 };
  const client = createClient({ url: system.urls[gateway] ?? "", token, reconnect, ...options });
  clients.push(client);
  return client;
}

function textsOf(client: BimipClient): string[] {
  const texts: string[] = [];
  client.on("message", ({ text = "" }) => texts.push(text));
  client.on("push", ({ text = "" }) => texts.push(`push ${text}`));
  return texts;
}

async function read(items: AsyncIterable<HistoryItem>): Promise<HistoryItem[]> {
  const list: HistoryItem[] = [];
  for await (const item of items) list.push(item);
  return list;
}

test("a message's states, told once though two devices of the recipient answer on two gateways", async () => {
  const [phone, laptop] = [await clientOf("ann", "phone"), await clientOf("ann", "laptop", { gateway: 1 })];
  const [bob, tablet] = [await clientOf("bob", "phone"), await clientOf("bob", "tablet", { gateway: 1 })];
  const states = new Map<BimipClient, string[]>();
  for (const client of [phone, laptop]) {
    const told: string[] = [];
    states.set(client, told);
    client.on("outgoing", ({ id, to, state }) => told.push(`${id} ${to} ${state}`));
    textsOf(client);
  }
  const onTablet = textsOf(tablet);
  bob.on("message", (message) => void (message.text === "hello" && message.played()));
  await Promise.all([phone, laptop, bob, tablet].map((client) => client.connect()));
  const sent = await phone.send({ to: "bob", text: "hello", id: "m1" });
  await eventually("played", () => phone.outgoing("m1", "bob")?.state === "played");
  await eventually("on the laptop too", () => laptop.outgoing("m1", "bob")?.state === "played");
  expect(phone.outgoing("m1", "bob")).toMatchObject({ index: sent.index });
  expect(onTablet).toEqual(["hello"]);
  const told = states.get(phone) ?? [];
  expect(told.slice(0, 2)).toEqual(["m1 bob queued", "m1 bob sent"]);
  expect(new Set(told).size).toBe(told.length);
});

test("a device goes on behind what it acknowledged; what a handler has not finished comes again", async () => {
  const sender = await clientOf("cleo", "phone", { receive: false });
  await sender.connect();
  for (let n = 0; n < 5; n++) await sender.send({ to: "dora", text: `t${n}` });
  const first = await clientOf("dora", "phone", { acknowledge: "manual" });
  first.on("message", (message) => void (message.index > 0 && message.text !== "t3" && message.delivered()));
  const got = textsOf(first);
  await first.connect();
  expect(got).toEqual(["t0", "t1", "t2", "t3", "t4"]);
  await first.close();
  const second = await clientOf("dora", "phone");
  const again = textsOf(second);
  await second.connect();
  expect(again).toEqual(["t3", "t4"]);
  await second.close();
  const further = await clientOf("dora", "tablet");
  const nothing = textsOf(further);
  await further.connect();
  expect(nothing).toEqual([]);
  const all = await clientOf("dora", "watch", { begin: "everything" });
  const everything = textsOf(all);
  await all.connect();
  expect(everything).toEqual(["t0", "t1", "t2", "t3", "t4"]);
});

test("what was queued in a file before a restart is stored once, in order", async () => {
  const path = join(dir, "eve.jsonl");
  const first = await clientOf("eve", "phone", { store: fileStore(path) });
  const lost = Promise.allSettled(["a", "b", "c"].map((id) => first.send({ to: "fay", text: id, id })));
  await eventually("queued", () => first.outgoing("c", "fay")?.state === "queued");
  await first.close();
  await lost;
  const fay = await clientOf("fay", "phone");
  const got = textsOf(fay);
  await fay.connect();
  const second = await clientOf("eve", "phone", { store: fileStore(path) });
  await second.connect();
  await second.send({ to: "fay", text: "d", id: "d" });
  await eventually("all four", () => got.length >= 4);
  await second.close();
  const third = await clientOf("eve", "phone", { store: fileStore(path) });
  await third.connect();
  // The application sends one of them once more, with the id it had: nothing new comes of it.
  await third.send({ to: "fay", text: "a", id: "a" });
  await third.send({ to: "fay", text: "last", id: "last" });
  await eventually("the last", () => got.includes("last"));
  expect(got).toEqual(["a", "b", "c", "d", "last"]);
});

test("a store's position goes on where the application was, and an erased log is told as a gap", async () => {
  const store = memoryStore();
  const sender = await clientOf("gus", "phone", { receive: false });
  await sender.connect();
  await sender.send({ to: "hal", text: "one" });
  const first = await clientOf("hal", "phone", { store });
  const got = textsOf(first);
  const live: string[] = [];
  first.on("gap", ({ details }) => live.push(details));
  await first.connect();
  await eventually("one", () => got.length === 1);
  await first.close();
  await sender.send({ to: "hal", text: "two" });
  const erased = await run(["erase", "hal", "--yes", "--json"]);
  expect(JSON.parse(erased)).toMatchObject({ eid: "hal", erased: 2 });
  await sender.send({ to: "hal", text: "three" });
  const second = await clientOf("hal", "phone", { store });
  const later = textsOf(second);
  const gaps: string[] = [];
  second.on("gap", ({ details }) => gaps.push(details));
  await second.connect();
  expect(later).toEqual(["three"]);
  expect([live, gaps.length]).toEqual([[], 1]);
});

test("history in both directions with receipts; unread; push and typing", async () => {
  const ida = await clientOf("ida", "phone", { scope: "push" });
  const jo = await clientOf("jo", "phone");
  textsOf(ida);
  const seen = textsOf(jo);
  const statuses: string[] = [];
  jo.on("signal", ({ status, from }) => statuses.push(`${status} ${from?.eid}`));
  await Promise.all([ida.connect(), jo.connect()]);
  for (let n = 0; n < 4; n++) await ida.send({ to: "jo", text: `t${n}`, id: `m${n}` });
  await ida.push({ to: "jo", text: "sale", type: "offers" });
  await ida.send({ to: "someone else", text: "not with jo" });
  await jo.send({ to: "ida", text: "answer" });
  await eventually("all", () => seen.length === 5);
  await eventually("delivered", () => ida.outgoing("m3", "jo")?.state === "delivered");
  expect(seen.at(-1)).toBe("push sale");
  const mine = await read(ida.history({ with: "jo", pageSize: 2 }));
  expect(mine.map(({ text, own, kind }) => [text, own, kind])).toEqual([
    ["answer", false, "message"],
    ["sale", true, "push"],
    ["t3", true, "message"],
    ["t2", true, "message"],
    ["t1", true, "message"],
    ["t0", true, "message"],
  ]);
  expect(mine[2]?.receipts).toMatchObject([{ from: "jo", status: "delivered" }]);
  const forwards = await read(ida.history({ with: "jo", pageSize: 2, direction: "forwards" }));
  expect(forwards.map(({ text }) => text)).toEqual(mine.map(({ text }) => text).toReversed());
  const bounded = await read(ida.history({ after: mine[4]?.index ?? 0, before: mine[2]?.index ?? 0 }));
  expect(bounded.map(({ text }) => text)).toEqual(["t2"]);

  const [, , t3] = await read(jo.history({ with: "ida" }));
  expect(await jo.unread()).toMatchObject({ total: 5, rows: [{ with: "ida", count: 5 }] });
  t3?.read();
  await eventually("read", () => ida.outgoing("m3", "jo")?.state === "read");
  await eventually("the push is left", async () => (await jo.unread({ with: "ida" })).total === 1);
  ida.typing("jo");
  await eventually("typing", () => statuses.includes("1 ida"));
});

test("slow handlers make the gateway wait, answers come nevertheless, and all is handed over in order", async () => {
  const sender = await clientOf("nora", "phone", { receive: false });
  await sender.connect();
  const expected = Array.from({ length: 3_000 }, (_, n) => `t${n}`);
  await Promise.all(expected.map((text) => sender.send({ to: "otis", text, data: { ballast: "x".repeat(2_000) } })));
  const otis = await clientOf("otis", "phone");
  const got: string[] = [];
  otis.on("message", async ({ text = "" }) => {
    // An answer now and then, for which the handler waits; it comes behind all that is on its way.
    if (got.length % 40 === 0) await otis.send({ to: "nora", text });
    else await new Promise((resolve) => setImmediate(resolve));
    got.push(text);
  });
  await otis.connect();
  await eventually("all", () => got.length >= expected.length);
  expect(got).toEqual(expected);
  // Live again, behind its own answers.
  await sender.send({ to: "otis", text: "last" });
  await eventually("the last", () => got.at(-1) === "last");
});

test("registers and removes a push subscription, and refuses one that leads anywhere", async () => {
  const client = await clientOf("kim", "phone");
  await client.connect();
  const keys = { p256dh: "B".repeat(87), auth: "A".repeat(22) };
  await client.subscribePush({ endpoint: "https://fcm.googleapis.com/fcm/send/x", keys } as { endpoint: string });
  await client.unsubscribePush();
  const elsewhere = { endpoint: "https://169.254.169.254/", keys } as { endpoint: string };
  await expect(client.subscribePush(elsewhere)).rejects.toMatchObject({ code: 422 });
});

test("export prints the whole log, one JSON line an entry", async () => {
  const leo = await clientOf("leo", "phone");
  textsOf(leo);
  await leo.connect();
  for (let n = 0; n < 250; n++) void leo.send({ to: "mia", text: `t${n}`, id: `m${n}` }).catch(() => undefined);
  await leo.send({ to: "mia", text: "last", id: "last" });
  const lines = (await run(["export", "mia"])).trim().split("\n");
  expect(lines).toHaveLength(251);
  const entries = lines.map((line) => JSON.parse(line) as { message: { id: string; monotonic_id: number } });
  expect(entries.at(-1)?.message).toMatchObject({ id: "last", from: { eid: "leo" } });
  const indexes = entries.map(({ message }) => message.monotonic_id);
  expect(indexes).toEqual(indexes.toSorted((a, b) => a - b));
  expect(await run(["export", "nobody@example.com"])).toBe("");
});

/** Runs an operator's command; answers with what it printed. */
async function run(args: readonly string[]): Promise<string> {
  let out = "";
  const context = {
    env: { NATS_URL: system.nats.url },
    stdin: Readable.from([]),
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: () => true },
  };
  await createProgram(context).parseAsync(["node", "bimip", ...args]);
  return out;
}
