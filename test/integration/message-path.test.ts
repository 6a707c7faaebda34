// The path of a message over real sockets and a real nats-server: stored, confirmed, numbered, delivered in order.
import { AckStatus, type Message, MessageSchema, encodeStanza } from "@bimip/protocol";
import { partitionOf } from "@bimip/nats";
import { create } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startSystem, type System } from "../kit/system.js";

let system: System;
beforeAll(async () => {
  system = await startSystem({ gateways: 2 });
});
afterAll(() => system.stop());

const indexes = (messages: Message[]) => messages.map((message) => Number(message.monotonicId));

/** Each index follows the previous one that this device was told. */
function expectUnbroken(messages: Message[]): void {
  let previous = Number(messages[0]?.previousId);
  for (const message of messages) {
    expect(Number(message.previousId)).toBe(previous);
    expect(Number(message.monotonicId)).toBeGreaterThan(previous);
    previous = Number(message.monotonicId);
  }
}

test("500 messages from one device, unthrottled: all devices concerned get all, once, in order", async () => {
  const phone = await system.device("a500@x", "phone");
  const laptop = await system.device("a500@x", "laptop", { gateway: 1 });
  const bobs = [await system.device("b500@x", "one"), await system.device("b500@x", "two", { gateway: 1 })];
  const ids = Array.from({ length: 500 }, (_, n) => `m${n}`);
  for (const id of ids) phone.message({ id, to: { eid: "b500@x" }, type: "text", payload: { data: { text: id } } });
  const sents = await phone.count("signal", 501);
  const sent = new Map(sents.filter((signal) => signal.status === 12).map((signal) => [signal.id, signal]));
  expect(sent.size).toBe(500);

  for (const device of [...bobs, laptop]) {
    const messages = await device.count("message", 500);
    await device.settle();
    expect(device.of("message").map(({ id }) => id)).toEqual(ids);
    expectUnbroken(messages);
    for (const message of messages) {
      const signal = sent.get(message.id);
      expect(message.monotonicId).toBe(device === laptop ? signal?.logId : signal?.monotonicId);
      expect(message.from).toMatchObject({ eid: "a500@x", connectionResourceId: "phone", node: "gateway-1" });
      expect(message.ack?.status).toEqual([AckStatus.SENT]);
      expect(message.payload?.data).toEqual({ text: message.id });
      expect(message.timestamp).toBeGreaterThan(1_700_000_000_000n);
    }
  }
  expect(phone.of("message")).toEqual([]);
});

test("a device that connects later gets what was stored, in order, then RESUME with the head", async () => {
  const alice = await system.device("late-a@x", "phone");
  for (let n = 0; n < 600; n++) alice.message({ id: `m${n}`, to: { eid: "late-b@x" } });
  await alice.count("signal", 601);
  const bob = await system.device("late-b@x", "phone");
  const messages = bob.of("message");
  expect(messages.map(({ id }) => id)).toEqual(Array.from({ length: 600 }, (_, n) => `m${n}`));
  expectUnbroken(messages);
  expect(bob.received.at(-1)?.kind).toBe("signal");
  expect(bob.of("signal")[0]?.monotonicId).toBe(messages.at(-1)?.monotonicId);
});

test("connecting amid traffic: no gap, no repeat, no reordering between replay and live", async () => {
  const alice = await system.device("amid-a@x", "phone");
  const total = 3_000;
  let sent = 0;
  const bobs = [];
  while (sent < total) {
    for (let n = 0; n < 100; n++) alice.message({ id: `m${sent++}`, to: { eid: "amid-b@x" } });
    bobs.push(await system.device("amid-b@x", `device${bobs.length}`, { settle: false, everything: true }));
    await alice.count("signal", sent - 90);
  }
  const expected = Array.from({ length: total }, (_, n) => `m${n}`);
  for (const bob of bobs) {
    await bob.count("message", total);
    await bob.settle();
    expect(bob.of("message").map(({ id }) => id)).toEqual(expected);
    expectUnbroken(bob.of("message"));
  }
});

test("a resend of the same id is answered with the first indexes and stored once, whatever its content", async () => {
  const alice = await system.device("twice-a@x", "phone");
  const bob = await system.device("twice-b@x", "phone");
  const first = await alice.messageSent({ id: "same", to: { eid: "twice-b@x" }, type: "first" });
  await bob.count("message", 1);
  alice.received.length = 0;
  const second = await alice.messageSent({ id: "same", to: { eid: "twice-b@x" }, type: "second" });
  expect(second.monotonicId).toBe(first.monotonicId);
  expect(second.logId).toBe(first.logId);
  await alice.messageSent({ id: "other", to: { eid: "twice-b@x" } });
  const messages = await bob.count("message", 2);
  expect(messages.map(({ id, type }) => [id, type])).toEqual([
    ["same", "first"],
    ["other", ""],
  ]);
});

test("one id to two recipients and to oneself, in the same and in different partitions: each stored and delivered", async () => {
  const sender = "parts-a@x";
  const home = partitionOf(sender, 4);
  const eids = Array.from({ length: 100 }, (_, n) => `parts-${n}@x`);
  const same = eids.filter((eid) => partitionOf(eid, 4) === home).slice(0, 2);
  const other = eids.filter((eid) => partitionOf(eid, 4) !== home).slice(0, 2);
  const recipients = [...same, ...other];
  expect(recipients).toHaveLength(4);
  const alice = await system.device(sender, "phone");
  const laptop = await system.device(sender, "laptop");
  const devices = await Promise.all(recipients.map((eid) => system.device(eid, "phone")));
  for (const eid of [...recipients, sender]) alice.message({ id: "one", to: { eid } });
  for (const eid of [...recipients, sender]) expect((await alice.sent("one", eid)).monotonicId).toBeGreaterThan(0n);
  for (const device of devices) expect((await device.count("message", 1)).map(({ id }) => id)).toEqual(["one"]);
  const copies = await laptop.count("message", 5);
  await laptop.settle();
  expect(laptop.of("message")).toHaveLength(5);
  expect(new Set(copies.map((message) => message.to?.eid))).toEqual(new Set([...recipients, sender]));
  const toSelf = await alice.sent("one", sender);
  expect(toSelf.logId).toBe(toSelf.monotonicId);
  expect(alice.of("message")).toEqual([]);
});

test("to one device: that device alone gets it; the sender's other devices get the copy", async () => {
  const alice = await system.device("dir-a@x", "phone");
  const laptop = await system.device("dir-a@x", "laptop");
  const one = await system.device("dir-b@x", "one");
  const two = await system.device("dir-b@x", "two");
  await alice.messageSent({ id: "d", to: { eid: "dir-b@x", connectionResourceId: "two" } });
  await alice.messageSent({ id: "all", to: { eid: "dir-b@x" } });
  expect((await two.count("message", 2)).map(({ id }) => id)).toEqual(["d", "all"]);
  expect((await one.count("message", 1)).map(({ id }) => id)).toEqual(["all"]);
  expect((await laptop.count("message", 2)).map(({ id }) => id)).toEqual(["d", "all"]);
  const late = await system.device("dir-b@x", "three", { everything: true });
  expect(late.of("message").map(({ id }) => id)).toEqual(["all"]);
});

test("scope no-copy leaves nothing in the sender's own log", async () => {
  const machine = await system.device("machine@x", "m", { scope: "no-copy" });
  const watcher = await system.device("machine@x", "watcher");
  const signal = await machine.messageSent({ id: "n", to: { eid: "human@x" } });
  expect(signal.logId).toBe(0n);
  await watcher.settle();
  expect(watcher.of("message")).toEqual([]);
});

test("what the sender put into ack is merged with SENT; FORWARDED stays", async () => {
  const alice = await system.device("fwd-a@x", "phone");
  const bob = await system.device("fwd-b@x", "phone");
  await alice.messageSent({ id: "f", to: { eid: "fwd-b@x" }, ack: { status: [AckStatus.FORWARDED] }, timestamp: 42n });
  const [message] = await bob.count("message", 1);
  expect(message?.ack?.status).toEqual([AckStatus.FORWARDED, AckStatus.SENT]);
  expect(message?.timestamp).toBe(42n);
});

test("unknown fields, in the message and in the envelope, survive from sender to recipient", async () => {
  const alice = await system.device("unk-a@x", "phone");
  const bob = await system.device("unk-b@x", "phone");
  const message = create(MessageSchema, { id: "u", to: { eid: "unk-b@x" }, type: "text" });
  message.$unknown = [{ no: 1000, wireType: WireType.LengthDelimited, data: Uint8Array.from([3, 1, 2, 3]) }];
  alice.sendBytes(encodeStanza("message", message));
  const [received] = await bob.count("message", 1);
  expect(received?.$unknown?.map(({ no, data }) => [no, [...data]])).toEqual([[1000, [3, 1, 2, 3]]]);
});

test("RESUME: behind an index, everything retained, beyond the head", async () => {
  const alice = await system.device("res-a@x", "phone");
  for (let n = 0; n < 10; n++) await alice.messageSent({ id: `m${n}`, to: { eid: "res-b@x" } });
  const bob = await system.device("res-b@x", "phone", { query: "?resume=manual", settle: false });
  await bob.settle();
  expect(bob.of("message")).toEqual([]);
  const { create: make } = await import("@bufbuild/protobuf");
  const { SignalSchema } = await import("@bimip/protocol");
  const resume = (monotonicId: bigint) =>
    bob.send("signal", make(SignalSchema, { id: `r${monotonicId}`, type: 1, status: 6, monotonicId }));
  resume(-1n);
  const all = await bob.count("message", 10);
  await bob.resumed();
  bob.received.length = 0;
  resume(all[6]?.monotonicId ?? 0n);
  expect((await bob.count("message", 3)).map(({ id }) => id)).toEqual(["m7", "m8", "m9"]);
  expect(indexes(bob.of("message").slice(0, 1))).toEqual(indexes(all.slice(7, 8)));
  resume(1_000_000n);
  expect(await bob.until("signal", (signal) => signal.type === 3)).toMatchObject({ id: "r1000000", status: 6 });
});

test("a newer session of the same device replaces the older one, on the same gateway and on another", async () => {
  for (const gateway of [0, 1]) {
    const eid = `replace${gateway}@x`;
    const older = await system.device(eid, "phone");
    const newer = await system.device(eid, "phone", { gateway });
    expect(await older.closing()).toMatchObject({ code: 4409 });
    expect(older.of("logout")).toMatchObject([{ type: 2 }]);
    const alice = await system.device(`replace-a${gateway}@x`, "phone");
    await alice.messageSent({ id: "m", to: { eid } });
    await newer.count("message", 1);
    expect(newer.closed).toBeUndefined();
  }
});
