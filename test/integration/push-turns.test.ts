// Offline push by webhook, real services and nats-server: for which device, by which router, in whose turn.
import { jetstreamManager } from "@nats-io/jetstream";
import {
  BUCKETS,
  CasBucket,
  CONSUMERS,
  call,
  PROCEDURES,
  QUEUES,
  type SessionRecord,
  STREAMS,
  SUBJECTS,
  sessionKey,
} from "@bimip/nats";
import { SignalSchema } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { HttpReceiver } from "../kit/http-receiver.js";
import { type PushSystem, startPushSystem } from "../kit/push-system.js";

/** The group of the marks' consumer. */
const PIN_GROUP = "router";

let push: PushSystem;
let receiver: HttpReceiver;
const webhook = () => ({ BIMIP_PUSH_WEBHOOK_URL: receiver.url });
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

test("a message for one device is that device's to acknowledge: another's receipt does not keep it from being posted", async () => {
  await push.router(webhook());
  const alice = await push.system.device("a-one@x", "phone");
  await (await push.system.device("b-one@x", "phone")).close();
  const laptop = await push.system.device("b-one@x", "laptop");
  const to = { eid: "b-one@x" };
  await alice.messageSent({ id: "for the phone", to: { ...to, connectionResourceId: "phone" } });
  await alice.messageSent({ id: "for the laptop", to: { ...to, connectionResourceId: "laptop" } });
  await alice.messageSent({ id: "for all", to });
  const { monotonicId } = await laptop.until("message", ({ id }) => id === "for all");
  laptop.send("signal", create(SignalSchema, { type: 1, status: 4, monotonicId }));
  await receiver.count("b-one@x", 1);
  await push.quiet();
  expect(receiver.pushes("b-one@x").map(({ stanza }) => stanza.message?.id)).toEqual(["for the phone"]);
});

test("what the registry of sessions does not know, storage does: a message for such a device is posted", async () => {
  await push.router(webhook());
  const alice = await push.system.device("a-reg@x", "phone");
  await (await push.system.device("b-reg@x", "phone")).close();
  const sessions = await CasBucket.open(push.link.nc, BUCKETS.awareness);
  const key = sessionKey("b-reg@x", "phone");
  await eventually("the session's end is registered", async () => {
    const { bytes = Buffer.of() } = (await sessions.read(key)) ?? {};
    return (JSON.parse(Buffer.from(bytes).toString()) as SessionRecord).state === "gone";
  });
  await sessions.remove(key);
  await alice.messageSent({ id: "m1", to: { eid: "b-reg@x", connectionResourceId: "phone" } });
  await receiver.count("b-reg@x", 1);
});

test("what a mark says of a log that was recreated since does not count for today's entry of the same index", async () => {
  const eid = "b-epoch@x";
  const alice = await push.system.device("a-epoch@x", "phone");
  const { monotonicId } = await alice.messageSent({ id: "m1", to: { eid } });
  const { epoch } = await call(push.link.nc, PROCEDURES.pushState, { eid }, 2_000);
  const place = { epoch: Number(epoch) - 1, index: Number(monotonicId) };
  const retry = { ...place, tries: 1, notBeforeMs: 0, done: ["webhook"] };
  const claim = { ...place, by: "another router", untilMs: Date.now() + 3_600_000 };
  push.link.nc.publish(SUBJECTS.pushMark(eid), JSON.stringify({ retry, claim }));
  await push.router(webhook());
  await receiver.count(eid, 1);
  await push.quiet();
  expect(receiver.pushes(eid).length).toBe(1);
});

test("a badge that is not counted in time is left out, and the push does not wait for it", async () => {
  // As one of the queue group, and the only one that is asked: it never answers.
  const { subject } = PROCEDURES.unread;
  await push.router(webhook());
  const mute = Array.from({ length: 200 }, () => push.link.nc.subscribe(subject, { queue: QUEUES.storage }));
  await push.link.nc.flush();
  const alice = await push.system.device("a-badge@x", "phone");
  for (let n = 0; n < 5; n++) await alice.messageSent({ id: `m${n}`, to: { eid: `b-badge${n}@x` } });
  await eventually("five pushes", () => receiver.pushes().length === 5);
  const badges = receiver.pushes().map(({ badge }) => badge);
  expect(badges).toContain(undefined);
  for (const subscription of mute) subscription.unsubscribe();
});

test("more users than are worked on at once: a busy one lets the others go first", async () => {
  receiver.answer = () => ({ status: 200, afterMs: 40 });
  const first = await push.router({ ...webhook(), BIMIP_PUSH_CONCURRENCY: "1" });
  await first.stop();
  const alice = await push.system.device("a-turns@x", "phone");
  for (let n = 0; n < 80; n++) alice.message({ id: `m${n}`, to: { eid: "b-busy@x" } });
  await alice.sent("m79", "b-busy@x");
  for (let n = 0; n < 3; n++) await alice.messageSent({ id: "m", to: { eid: `b-calm${n}@x` } });
  await push.router({ ...webhook(), BIMIP_PUSH_CONCURRENCY: "1" });
  await eventually("the calm ones", () => receiver.pushes().filter(({ eid }) => eid !== "b-busy@x").length === 3);
  expect(receiver.pushes("b-busy@x").length).toBeLessThan(80);
  await receiver.count("b-busy@x", 80);
  await push.quiet();
  expect(receiver.calls.length).toBe(83);
});

test("the pin moves to another router while a post is under way: each message is posted once, in order", async () => {
  receiver.answer = () => ({ status: 200, afterMs: 1_500 });
  await push.router(webhook());
  await push.router(webhook());
  const alice = await push.system.device("a-pin@x", "phone");
  await alice.messageSent({ id: "m1", to: { eid: "b-pin@x" } });
  await receiver.count("b-pin@x", 1);
  const jsm = await jetstreamManager(push.link.nc);
  await jsm.consumers.unpin(STREAMS.push, CONSUMERS.pushMarks, PIN_GROUP);
  await alice.messageSent({ id: "m2", to: { eid: "b-pin@x" } });
  await receiver.count("b-pin@x", 2);
  await push.quiet();
  expect(receiver.pushes("b-pin@x").map(({ stanza }) => stanza.message?.id)).toEqual(["m1", "m2"]);
});
