// Offline push by webhook: real gateway, storage, router and nats-server, a real HTTP receiver.
import { createHmac } from "node:crypto";
import { jetstreamManager } from "@nats-io/jetstream";
import { call, PROCEDURES, STREAMS, SUBJECTS } from "@bimip/nats";
import { SignalSchema } from "@bimip/protocol";
import { readConfig } from "@bimip/router";
import { create } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { HttpReceiver } from "../kit/http-receiver.js";
import { PUSH_ENV, type PushSystem, startPushSystem } from "../kit/push-system.js";

let push: PushSystem;
let receiver: HttpReceiver;
const webhook = () => ({ BIMIP_PUSH_WEBHOOK_URL: `${receiver.url}/hook?tenant=1` });
beforeAll(async () => {
  push = await startPushSystem();
});
afterAll(() => push.stop());
beforeEach(async () => {
  receiver = await HttpReceiver.start();
});
afterEach(async () => {
  await push.stopRouters();
  await receiver.stop();
});

test("each message for an offline user is posted once, in order, signed, with the badge", async () => {
  const router = await push.router(webhook());
  const alice = await push.system.device("a-once@x", "phone");
  for (let n = 1; n <= 5; n++) {
    await alice.messageSent({ id: `m${n}`, to: { eid: "b-once@x" }, payload: { data: { text: `text ${n}` } } });
  }
  const pushes = await receiver.count("b-once@x", 5);
  await push.quiet();
  expect(receiver.pushes().map(({ stanza }) => stanza.message?.id)).toEqual(["m1", "m2", "m3", "m4", "m5"]);
  expect(new Set(pushes.map(({ id }) => id)).size).toBe(5);
  expect(pushes[4]).toMatchObject({
    eid: "b-once@x",
    kind: "message",
    badge: 5,
    online: false,
    reason: "offline",
    stanza: {
      route: 6,
      message: { id: "m5", from: { eid: "a-once@x" }, payload: { data: { text: "text 5" } } },
    },
  });
  expect(pushes[4]?.stanza.message?.monotonic_id).toBe(pushes[4]?.monotonic_id);
  for (const { path, headers, body } of receiver.calls) {
    expect(path).toBe("/hook?tenant=1");
    const timestamp = String(headers["bimip-timestamp"]);
    const hmac = createHmac("sha256", PUSH_ENV.BIMIP_PUSH_WEBHOOK_SECRET).update(`${timestamp}.${body.toString()}`);
    expect(headers["bimip-signature"]).toBe(`v1=${hmac.digest("hex")}`);
    expect(Math.abs(Date.now() / 1_000 - Number(timestamp))).toBeLessThan(30);
    expect(headers["idempotency-key"]).toBe((JSON.parse(body.toString()) as { id: string }).id);
  }
  const metrics = await router.metrics.text();
  expect(metrics).toContain('bimip_router_pushes_total{provider="webhook",outcome="ok",service="router"} 5');
  expect(metrics).toContain('bimip_router_push_delay_seconds_count{service="router"} 5');
});

test("what a device acknowledged is not posted; what none acknowledged for too long is, as unacknowledged", async () => {
  await push.router(webhook());
  const alice = await push.system.device("a-acked@x", "phone");
  const bob = await push.system.device("b-acked@x", "phone");
  await push.system.device("c-silent@x", "phone");
  const startedMs = Date.now();
  for (const id of ["m1", "m2", "m3"]) await alice.messageSent({ id, to: { eid: "b-acked@x" } });
  for (const { id, monotonicId } of await bob.count("message", 3)) {
    bob.send("signal", create(SignalSchema, { id, type: 1, status: 4, to: { eid: "a-acked@x" }, monotonicId }));
  }
  await alice.messageSent({ id: "unheard", to: { eid: "c-silent@x" } });
  const [unheard] = await receiver.count("c-silent@x", 1);
  expect(Date.now() - startedMs).toBeGreaterThanOrEqual(Number(PUSH_ENV.BIMIP_PUSH_AFTER_MS));
  expect(unheard).toMatchObject({ online: true, reason: "unacknowledged", badge: 1 });
  await push.quiet();
  expect(receiver.pushes().map(({ eid }) => eid)).toEqual(["c-silent@x"]);
});

test("what was acknowledged before the user went offline is not posted when more comes", async () => {
  await push.router(webhook());
  const alice = await push.system.device("a-leave@x", "phone");
  const bob = await push.system.device("b-leave@x", "phone");
  await alice.messageSent({ id: "read", to: { eid: "b-leave@x" } });
  const { monotonicId } = await bob.until("message");
  bob.send("signal", create(SignalSchema, { type: 1, status: 4, monotonicId }));
  await eventually("the acknowledgement is stored", async () => {
    const { acked } = await call(push.link.nc, PROCEDURES.pushState, { eid: "b-leave@x" }, 1_000);
    return acked === monotonicId;
  });
  await bob.close();
  await alice.messageSent({ id: "unread", to: { eid: "b-leave@x" } });
  await receiver.count("b-leave@x", 1);
  await push.quiet();
  expect(receiver.pushes("b-leave@x").map(({ stanza }) => stanza.message?.id)).toEqual(["unread"]);
});

test("a message acknowledged between two tries is not posted again", async () => {
  receiver.answer = () => ({ status: 500 });
  await push.router({ ...webhook(), BIMIP_PUSH_MAX_TRIES: "100", BIMIP_PUSH_RETRY_MS: "200" });
  const alice = await push.system.device("a-late@x", "phone");
  const sent = await alice.messageSent({ id: "m1", to: { eid: "b-late@x" } });
  await receiver.count("b-late@x", 1);
  const { epoch } = await call(push.link.nc, PROCEDURES.pushState, { eid: "b-late@x" }, 1_000);
  const devices = [{ eid: "b-late@x", device: "phone", cursor: sent.monotonicId, epoch }];
  await call(push.link.nc, PROCEDURES.progress, { devices }, 1_000);
  await push.quiet();
  const tries = receiver.pushes("b-late@x").length;
  expect(tries).toBeLessThan(20);
  receiver.answer = () => ({ status: 200 });
  await alice.messageSent({ id: "m2", to: { eid: "b-late@x" } });
  await eventually("the next one", () => receiver.pushes("b-late@x").some(({ stanza }) => stanza.message?.id === "m2"));
  expect(receiver.pushes("b-late@x").filter(({ stanza }) => stanza.message?.id === "m1").length).toBe(tries);
});

test("one's own messages, receipts, and messages for a device never seen are not posted", async () => {
  await push.router(webhook());
  const alice = await push.system.device("a-own@x", "phone");
  const bob = await push.system.device("b-own@x", "phone");
  await bob.close();
  await alice.messageSent({ id: "to myself", to: { eid: "a-own@x" } });
  await alice.messageSent({ id: "never seen", to: { eid: "b-own@x", connectionResourceId: "tablet" } });
  await alice.messageSent({ id: "seen", to: { eid: "b-own@x", connectionResourceId: "phone" } });
  await receiver.count("b-own@x", 1);
  const back = await push.system.device("b-own@x", "phone");
  const { id, monotonicId } = await back.until("message");
  back.send("signal", create(SignalSchema, { id, type: 1, status: 5, to: { eid: "a-own@x" }, monotonicId }));
  await alice.close();
  await push.quiet();
  expect(receiver.pushes().map(({ stanza }) => stanza.message?.id)).toEqual(["seen"]);
});

test("a receiver that answers 500 twice, and hangs once gets each message effectively once", async () => {
  let calls = 0;
  receiver.answer = () => {
    calls++;
    if (calls <= 2) return { status: 500 };
    return calls === 3 ? { status: 200, afterMs: Infinity } : { status: 200 };
  };
  const router = await push.router({ ...webhook(), BIMIP_PUSH_MAX_TRIES: "10", BIMIP_PUSH_TIMEOUT_MS: "1500" });
  const alice = await push.system.device("a-sick@x", "phone");
  for (const id of ["m1", "m2"]) await alice.messageSent({ id, to: { eid: "b-sick@x" } });
  await receiver.count("b-sick@x", 5);
  await push.quiet();
  const ids = receiver.pushes("b-sick@x").map(({ stanza }) => stanza.message?.id);
  expect(ids).toEqual(["m1", "m1", "m1", "m1", "m2"]);
  const keys = receiver.calls.map(({ headers }) => headers["idempotency-key"]);
  expect(new Set(keys.slice(0, 4)).size).toBe(1);
  expect(new Set(keys).size).toBe(2);
  expect(await router.metrics.text()).toContain(
    'bimip_router_pushes_total{provider="webhook",outcome="failed",service="router"} 3',
  );
});

test("Retry-After of a 503 is waited for", async () => {
  const times: number[] = [];
  receiver.answer = () => {
    times.push(Date.now());
    return times.length === 1 ? { status: 503, headers: { "retry-after": "1" } } : { status: 200 };
  };
  await push.router(webhook());
  const alice = await push.system.device("a-503@x", "phone");
  await alice.messageSent({ id: "m1", to: { eid: "b-503@x" } });
  await receiver.count("b-503@x", 2);
  await alice.messageSent({ id: "m2", to: { eid: "b-503@x" } });
  await push.quiet();
  expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(990);
  expect(times.length).toBe(3);
});

test("after so many tries a push is a dead letter, counted, and the next message has its turn; a redirect is no success", async () => {
  receiver.answer = ({ body }) =>
    body.includes('"poison"') ? { status: 302, headers: { location: `${receiver.url}/elsewhere` } } : { status: 200 };
  const router = await push.router(webhook());
  const alice = await push.system.device("a-dead@x", "phone");
  const sent = await alice.messageSent({ id: "poison", to: { eid: "b-dead@x" } });
  await alice.messageSent({ id: "good", to: { eid: "b-dead@x" } });
  await receiver.count("b-dead@x", 5);
  await push.quiet();
  const ids = receiver.pushes("b-dead@x").map(({ stanza }) => stanza.message?.id);
  expect(ids).toEqual(["poison", "poison", "poison", "poison", "good"]);
  expect(receiver.calls.map(({ path }) => path)).not.toContain("/elsewhere");
  const jsm = await jetstreamManager(push.link.nc);
  const letter = await jsm.streams.getMessage(STREAMS.dead, { last_by_subj: SUBJECTS.pushDead("b-dead@x") });
  expect(letter?.json()).toMatchObject({
    id: receiver.pushes("b-dead@x")[0]?.id,
    eid: "b-dead@x",
    kind: "message",
    from: "a-dead@x",
    monotonic_id: Number(sent.monotonicId),
    tries: 4,
    failures: { webhook: "HTTP 302" },
  });
  expect(await router.metrics.text()).toContain('bimip_router_push_dead_total{service="router"} 1');
});

test("a user whose receiver hangs does not hold up others", async () => {
  receiver.answer = ({ body }) => ({ status: 200, afterMs: body.includes('"b-hang@x"') ? Infinity : 0 });
  await push.router({ ...webhook(), BIMIP_PUSH_TIMEOUT_MS: "5000", BIMIP_PUSH_MAX_TRIES: "1" });
  const alice = await push.system.device("a-hang@x", "phone");
  await alice.messageSent({ id: "m1", to: { eid: "b-hang@x" } });
  await receiver.count("b-hang@x", 1);
  const hungAtMs = performance.now();
  for (let n = 0; n < 50; n++) await alice.messageSent({ id: "m1", to: { eid: `free${n}@x` } });
  await eventually("50 others", () => receiver.pushes().length === 51);
  expect(performance.now() - hungAtMs).toBeLessThan(5_000);
});

test("two routers, the working one stopped amid it: each of 200 messages for 20 offline users once, in order", async () => {
  receiver.answer = () => ({ status: 200, afterMs: 10 });
  const routers = [await push.router(webhook()), await push.router(webhook())];
  const alice = await push.system.device("a-two@x", "phone");
  const ids = Array.from({ length: 10 }, (_, n) => `m${n}`);
  const users = Array.from({ length: 20 }, (_, n) => `b-two${n}@x`);
  for (const id of ids) for (const eid of users) alice.message({ id, to: { eid } });
  await eventually("some pushes", () => receiver.calls.length >= 40);
  const worked = await Promise.all(
    routers.map(async ({ metrics }) => (await metrics.text()).includes('provider="webhook",outcome="ok"')),
  );
  expect(worked.filter(Boolean).length).toBe(1);
  await routers[worked.indexOf(true)]?.stop();
  await eventually("all pushes", () => receiver.calls.length >= 200);
  await push.quiet();
  for (const eid of users) expect(receiver.pushes(eid).map(({ stanza }) => stanza.message?.id)).toEqual(ids);
  expect(receiver.calls.length).toBe(200);
});

test("a router stopped between two tries: the next one goes on, and counts the tries made before", async () => {
  receiver.answer = () => ({ status: 500 });
  const env = { ...webhook(), BIMIP_PUSH_RETRY_MS: "400", BIMIP_PUSH_MAX_TRIES: "5" };
  const first = await push.router(env);
  const alice = await push.system.device("a-restart@x", "phone");
  await alice.messageSent({ id: "m1", to: { eid: "b-restart@x" } });
  await receiver.count("b-restart@x", 2);
  await first.stop();
  const before = receiver.calls.length;
  await alice.messageSent({ id: "m2", to: { eid: "b-restart@x" } });
  const second = await push.router(env);
  await eventually("a dead letter", async () => {
    return (await second.metrics.text()).includes('bimip_router_push_dead_total{service="router"} 1');
  });
  const firsts = () => receiver.pushes("b-restart@x").filter(({ stanza }) => stanza.message?.id === "m1").length;
  expect(before).toBeGreaterThanOrEqual(2);
  expect(firsts()).toBe(5);
  receiver.answer = () => ({ status: 200 });
  await push.quiet();
  expect(firsts()).toBe(5);
});

test("a router without a provider pushes nothing; one configured by halves does not start", () => {
  const secret = PUSH_ENV.BIMIP_PUSH_WEBHOOK_SECRET;
  expect(readConfig({}).push).toBeUndefined();
  expect(readConfig({ BIMIP_PUSH_WEBHOOK_SECRET: secret }).push).toBeUndefined();
  expect(() => readConfig(webhook())).toThrow(/BIMIP_PUSH_WEBHOOK_SECRET is required with BIMIP_PUSH_WEBHOOK_URL/);
  expect(() => readConfig({ ...webhook(), BIMIP_PUSH_WEBHOOK_SECRET: "short" })).toThrow(/at least 32 bytes/);
  expect(() => readConfig({ BIMIP_VAPID_SUBJECT: "mailto:ops@x" })).toThrow(
    /BIMIP_VAPID_PUBLIC_KEY is required.*BIMIP_VAPID_PRIVATE_KEY is required/,
  );
});
