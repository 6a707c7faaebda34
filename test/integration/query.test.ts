// Query over real sockets and the real storage: pages of history, unread counts, push subscriptions, and every refusal.
import { type Message, type Page, QuerySchema, QueryType, SignalSchema } from "@bimip/protocol";
import { issueToken } from "@bimip/auth";
import { createGateway, readConfig } from "@bimip/gateway";
import { call, connectNats, ensureTopology, PROCEDURES } from "@bimip/nats";
import { createHealth, createLogger, createMetrics } from "@bimip/runtime";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { startTestNats } from "../kit/nats.js";
import { SECRET, startSystem, type System } from "../kit/system.js";

const BIMIP_WEBPUSH_HOSTS = "push.example.com, *.push.example.net";

let system: System;
beforeAll(async () => {
  system = await startSystem({ gateways: 1, env: { BIMIP_WEBPUSH_HOSTS } });
});
afterAll(() => system.stop());

let queries = 0;
async function ask(device: Device, init: MessageInitShape<typeof QuerySchema>): Promise<Page> {
  const id = `q${queries++}`;
  device.send("query", create(QuerySchema, { id, ...init }));
  return device.until("page", (page) => page.id === id);
}

async function refusal(device: Device, init: MessageInitShape<typeof QuerySchema>): Promise<[number, string]> {
  const id = `q${queries++}`;
  device.send("query", create(QuerySchema, { id, ...init }));
  const { code, details } = await device.until("error", (error) => error.id === id);
  return [code, details];
}

const idsOf = (page: Page): string[] =>
  page.items.flatMap(({ payload }) => (payload.case === "message" ? [payload.value.id] : []));
const messagesOf = (page: Page): Message[] =>
  page.items.flatMap(({ payload }) => (payload.case === "message" ? [payload.value] : []));

test("HISTORY: pages backwards and forwards, whole and by partner, with the indexes of one's own log", async () => {
  const alice = await system.device("his-a@x", "phone");
  const carol = await system.device("his-c@x", "phone");
  const ids: string[] = [];
  for (let n = 0; n < 30; n++) {
    const [from, id] = n % 3 === 0 ? [carol, `c${n}`] : [alice, `a${n}`];
    await from.messageSent({ id, to: { eid: "his-b@x" }, type: "text", payload: { data: { text: id } } });
    ids.push(id);
  }
  const bob = await system.device("his-b@x", "phone");
  const replayed = new Map(bob.of("message").map((message) => [message.id, message]));

  const backwards: string[] = [];
  let before = 0n;
  for (let pages = 0; ; pages++) {
    const page = await ask(bob, { type: QueryType.HISTORY, limit: 7, before });
    expect(idsOf(page).length).toBeLessThanOrEqual(7);
    backwards.unshift(...idsOf(page));
    for (const message of messagesOf(page)) {
      expect(message.monotonicId).toBe(replayed.get(message.id)?.monotonicId);
      expect(message.payload?.data).toEqual({ text: message.id });
      expect(message.from?.eid).toBe(message.id.startsWith("c") ? "his-c@x" : "his-a@x");
    }
    if (page.done) break;
    expect(pages).toBeLessThan(10);
    before = page.next;
  }
  expect(backwards).toEqual(ids);

  const forwards: string[] = [];
  for (let after = 1n, done = false; !done; ) {
    const page = await ask(bob, { type: QueryType.HISTORY, limit: 7, after, with: { eid: "his-c@x" } });
    forwards.push(...idsOf(page));
    ({ done, next: after } = page);
  }
  // Index 1 may be that of the very first message, which is carol's.
  const carols = ids.filter((id) => id.startsWith("c"));
  expect(forwards).toEqual(replayed.get("c0")?.monotonicId === 1n ? carols.slice(1) : carols);

  const mine = await ask(alice, { type: QueryType.HISTORY, with: { eid: "his-b@x" } });
  expect(idsOf(mine)).toEqual(ids.filter((id) => id.startsWith("a")));
  const nobody = await ask(alice, { type: QueryType.HISTORY, with: { eid: "his-nobody@x" } });
  expect(nobody).toMatchObject({ items: [], done: true });
});

test("UNREAD: counts by sender, until they are READ", async () => {
  const alice = await system.device("unr-a@x", "phone");
  const carol = await system.device("unr-c@x", "phone");
  const bob = await system.device("unr-b@x", "phone");
  for (let n = 0; n < 3; n++) await alice.messageSent({ id: `m${n}`, to: { eid: "unr-b@x" } });
  await carol.messageSent({ id: "c", to: { eid: "unr-b@x" } });
  await bob.messageSent({ id: "own", to: { eid: "unr-a@x" } });
  const messages = await bob.count("message", 4);
  const page = await ask(bob, { type: QueryType.UNREAD });
  expect(page.done).toBe(true);
  const counts = (of: Page) => new Map(of.unread.map((row) => [row.with?.eid, [row.count, row.lastId]]));
  expect(counts(page)).toEqual(
    new Map([
      ["unr-a@x", [3, messages[2]?.monotonicId]],
      ["unr-c@x", [1, messages[3]?.monotonicId]],
    ]),
  );
  const ofCarol = await ask(bob, { type: QueryType.UNREAD, with: { eid: "unr-c@x" } });
  expect([...counts(ofCarol).keys()]).toEqual(["unr-c@x"]);
  bob.send("signal", create(SignalSchema, { type: 1, status: 5, monotonicId: messages[2]?.monotonicId ?? 0n }));
  await eventually("only carol's message is unread", async () => {
    const rows = counts(await ask(bob, { type: QueryType.UNREAD }));
    return rows.size === 1 && rows.has("unr-c@x");
  });
});

const key = (bytes: number, fill = 4): string => Buffer.alloc(bytes, fill).toString("base64url");
const subscription = (change: object = {}): Uint8Array<ArrayBuffer> =>
  new TextEncoder().encode(
    JSON.stringify({
      endpoint: "https://eu.push.example.net/send/abc?x=1",
      expirationTime: null,
      keys: { p256dh: key(65), auth: key(16) },
      ...change,
    }),
  );

test("PUSH_SUBSCRIBE keeps a device's subscription, PUSH_UNSUBSCRIBE drops it", async () => {
  const link = await connectNats({ servers: system.nats.url, name: "test" });
  const kept = async () => (await call(link.nc, PROCEDURES.pushState, { eid: "sub@x" }, 2_000)).subscriptions;
  const phone = await system.device("sub@x", "phone");
  const laptop = await system.device("sub@x", "laptop");
  for (const [device, endpoint] of [
    [phone, "https://eu.push.example.net/send/abc?x=1"],
    [laptop, "https://push.example.com/1"],
  ] as const) {
    const page = await ask(device, { type: QueryType.PUSH_SUBSCRIBE, data: subscription({ endpoint }) });
    expect(page).toMatchObject({ items: [], done: true });
  }
  const rows = await kept();
  expect(rows.map(({ device }) => device).toSorted()).toEqual(["laptop", "phone"]);
  const ofPhone = rows.find(({ device }) => device === "phone")?.subscription ?? "";
  expect(JSON.parse(ofPhone)).toEqual({
    endpoint: "https://eu.push.example.net/send/abc?x=1",
    keys: { p256dh: key(65), auth: key(16) },
  });
  expect((await ask(phone, { type: QueryType.PUSH_UNSUBSCRIBE })).done).toBe(true);
  expect((await kept()).map(({ device }) => device)).toEqual(["laptop"]);
  await link.nc.close();
});

test.each<[string, MessageInitShape<typeof QuerySchema>, number, RegExp]>([
  ["no type", {}, 422, /^query\.type: is missing/],
  ["an unknown type", { type: 6 }, 422, /^query\.type: /],
  ["a negative limit", { type: 1, limit: -1 }, 422, /^query\.limit: /],
  ["a limit above 200", { type: 1, limit: 201 }, 422, /^query\.limit: /],
  ["both before and after", { type: 1, before: 5n, after: 2n }, 422, /^query\.after: /],
  ["a negative index", { type: 1, before: -5n }, 422, /^query\.before: /],
  ["no subscription", { type: 4 }, 422, /^query\.data: is missing/],
  ["no JSON", { type: 4, data: Uint8Array.of(123) }, 422, /^query\.data: is not JSON/],
  ["JSON of no object", { type: 4, data: new TextEncoder().encode("[]") }, 422, /^query\.data: is not an object/],
  ["too much", { type: 4, data: subscription({ more: "x".repeat(5_000) }) }, 422, /^query\.data: has /],
  ["no keys", { type: 4, data: subscription({ keys: undefined }) }, 422, /^query\.data\.keys: /],
  [
    "a short key",
    { type: 4, data: subscription({ keys: { p256dh: key(64), auth: key(16) } }) },
    422,
    /^query\.data\.keys\.p256dh: /,
  ],
  ["no secret", { type: 4, data: subscription({ keys: { p256dh: key(65) } }) }, 422, /^query\.data\.keys\.auth: /],
  ...[
    "http://push.example.com/1",
    "https://push.example.org/1",
    "https://push.example.net/1",
    "https://evilpush.example.com/1",
    "https://push.example.com.evil.org/1",
    "https://user:pw@push.example.com/1",
    "https://push.example.com:8443/1",
    "https://127.0.0.1/1",
    "no address",
    7,
  ].map((endpoint): [string, MessageInitShape<typeof QuerySchema>, number, RegExp] => [
    `the endpoint ${endpoint}`,
    { type: 4, data: subscription({ endpoint }) },
    422,
    /^query\.data\.endpoint: /,
  ]),
])("%s: the documented error, and the session lives on", async (_what, init, code, details) => {
  const device = await system.device("refused@x", "phone");
  const [got, text] = await refusal(device, init);
  expect(text).toMatch(details);
  expect(got).toBe(code);
  expect((await ask(device, { type: QueryType.HISTORY })).done).toBe(true);
});

test("more than eight queries under way: 429 with the id, the others are answered", async () => {
  const device = await system.device("many@x", "phone");
  for (let n = 0; n < 50; n++) device.send("query", create(QuerySchema, { id: `many${n}`, type: QueryType.HISTORY }));
  await eventually("50 answers", () => device.of("page").length + device.of("error").length === 50);
  expect(device.of("page").length).toBeGreaterThanOrEqual(8);
  for (const error of device.of("error")) expect(error).toMatchObject({ code: 429 });
});

test("storage away: 503 with the id, and the session lives on", async () => {
  const nats = await startTestNats();
  const link = await connectNats({ servers: nats.url, name: "test" });
  await ensureTopology(link.nc, { partitions: 1, replicas: 1, dedupeWindowS: 120, logMaxAgeS: 0 });
  const abort = new AbortController();
  const gateway = await createGateway(
    readConfig({ NATS_URL: nats.url, BIMIP_JWT_SECRET: SECRET, BIMIP_PORT: "0", BIMIP_WEBPUSH_HOSTS }),
    {
      logger: createLogger("gateway", "silent"),
      metrics: createMetrics("gateway"),
      health: createHealth(),
      signal: abort.signal,
    },
  );
  try {
    const token = await issueToken({ secret: SECRET, eid: "alone@x", device: "phone" });
    const device = await Device.open(`ws://127.0.0.1:${gateway.port}/v1/ws`, { token, settle: false });
    for (const init of [{ type: 1 }, { type: 3 }, { type: 4, data: subscription() }, { type: 5 }]) {
      expect(await refusal(device, init)).toEqual([503, "storage does not answer, try again"]);
    }
    await device.settle();
    device.socket.terminate();
  } finally {
    abort.abort();
    await gateway.stop();
    await link.nc.close();
    await nats.remove();
  }
});
