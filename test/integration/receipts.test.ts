// Receipts over real sockets, services and a real nats-server: once per message and status, durably, to all devices of the
// author; cursors; what comes back as type 3. Cannot show: receipts under faults (test/chaos).
import { encodeStanza, type Message, type Signal, SignalSchema, SignalStatus } from "@bimip/protocol";
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { startSystem, type System } from "../kit/system.js";

const { DELIVERED, READ, PLAYED, FORWARDED } = SignalStatus;

let system: System;
beforeAll(async () => {
  system = await startSystem({ gateways: 2 });
});
afterAll(() => system.stop());

const signal = (init: MessageInitShape<typeof SignalSchema>): Signal => create(SignalSchema, { type: 1, ...init });

/** Answers a message as it came: `to` is its `from`, device and node included. */
function give(device: Device, message: Message, status: number): void {
  const { id, from, monotonicId } = message;
  device.send("signal", signal({ id, status, monotonicId, ...(from === undefined ? {} : { to: from }) }));
}

const receiptsOf = (device: Device): Signal[] =>
  device.of("signal").filter(({ status }) => status !== SignalStatus.RESUME && status !== SignalStatus.SENT);
const comeBack = (device: Device, id: string): Promise<Signal> =>
  device.until("signal", (answer) => answer.type === 3 && answer.id === id);

/** One message on its way to bob. */
async function written(from: Device, to: { eid: string; device: Device }, id: string): Promise<Message> {
  await from.messageSent({ id, to: { eid: to.eid } });
  return to.device.until("message", (message) => message.id === id);
}

test("each status reaches every device of the author, stamped, numbered, otherwise as it was sent", async () => {
  const phone = await system.device("all-a@x", "phone");
  const laptop = await system.device("all-a@x", "laptop", { gateway: 1 });
  const bob = await system.device("all-b@x", "phone", { gateway: 1 });
  const message = await written(phone, { eid: "all-b@x", device: bob }, "m");
  for (const status of [DELIVERED, READ, PLAYED, FORWARDED]) {
    const receipt = signal({ id: "m", to: { eid: "all-a@x" }, status, monotonicId: message.monotonicId, details: "d" });
    receipt.$unknown = [{ no: 1000, wireType: WireType.LengthDelimited, data: Uint8Array.from([2, 7, 8]) }];
    if (status === READ) receipt.timestamp = 42n;
    bob.sendBytes(encodeStanza("signal", receipt));
  }
  for (const device of [phone, laptop]) {
    const receipts = await eventually("four receipts", () => {
      const all = receiptsOf(device);
      return all.length >= 4 ? all : undefined;
    });
    expect(receipts.map(({ status }) => status)).toEqual([DELIVERED, READ, PLAYED, FORWARDED]);
    let previous = Number(receipts[0]?.previousId);
    for (const receipt of receipts) {
      expect(receipt).toMatchObject({ id: "m", type: 1, to: { eid: "all-a@x" }, details: "d" });
      expect(receipt.from).toMatchObject({ eid: "all-b@x", connectionResourceId: "phone", node: "gateway-2" });
      expect(receipt.monotonicId).toBe(message.monotonicId);
      expect(receipt.timestamp).toBe(receipt.status === READ ? 42n : 0n);
      expect(receipt.$unknown?.map(({ no, data }) => [no, [...data]])).toEqual([[1000, [2, 7, 8]]]);
      expect(Number(receipt.previousId)).toBe(previous);
      expect(Number(receipt.logId)).toBeGreaterThan(previous);
      previous = Number(receipt.logId);
    }
  }
  await bob.settle();
  expect(receiptsOf(bob)).toEqual([]);
});

test("100 messages answered by three devices at once: each status once, whoever is first", async () => {
  const alice = await system.device("once-a@x", "phone");
  const bobs = [
    await system.device("once-b@x", "one"),
    await system.device("once-b@x", "two", { gateway: 1 }),
    await system.device("once-b@x", "three", { gateway: 1 }),
  ];
  for (let n = 0; n < 100; n++) alice.message({ id: `m${n}`, to: { eid: "once-b@x" } });
  for (const bob of bobs) await bob.count("message", 100);
  for (let n = 0; n < 100; n++) {
    for (const bob of bobs) {
      const message = bob.of("message")[n];
      if (message === undefined) throw new Error("no message");
      give(bob, message, DELIVERED);
      give(bob, message, READ);
    }
  }
  await alice.until("signal", ({ id, status }) => id === "m99" && status === READ);
  const last = await written(alice, { eid: "once-b@x", device: bobs[0] as Device }, "last");
  give(bobs[0] as Device, last, READ);
  await alice.until("signal", ({ id, status }) => id === "last" && status === READ);
  for (const bob of bobs) await bob.settle();
  const told = receiptsOf(alice).map(({ id, status }) => `${id} ${status}`);
  expect(told).toHaveLength(201);
  expect(new Set(told).size).toBe(201);
});

test("the receipts that one device gives arrive in the order in which it gave them", async () => {
  const alice = await system.device("order-a@x", "phone");
  const bob = await system.device("order-b@x", "phone");
  const ids = Array.from({ length: 50 }, (_, n) => `m${n}`);
  for (const id of ids) alice.message({ id, to: { eid: "order-b@x" } });
  const messages = await bob.count("message", 50);
  for (const message of messages) give(bob, message, DELIVERED);
  await alice.until("signal", ({ id, status }) => id === "m49" && status === DELIVERED);
  expect(receiptsOf(alice).map(({ id }) => id)).toEqual(ids);
});

test("a receipt waits for an absent author, and is replayed to later devices that ask", async () => {
  const alice = await system.device("away-a@x", "phone");
  const bob = await system.device("away-b@x", "phone");
  const message = await written(alice, { eid: "away-b@x", device: bob }, "m");
  await alice.close();
  give(bob, message, READ);
  const back = await system.device("away-a@x", "phone");
  expect(await back.until("signal", ({ status }) => status === READ)).toMatchObject({ id: "m" });
  const tablet = await system.device("away-a@x", "tablet", { query: "?resume=manual", settle: false });
  tablet.send("signal", signal({ id: "r", status: SignalStatus.RESUME, monotonicId: -1n }));
  await tablet.resumed();
  expect(receiptsOf(tablet).map(({ id, status }) => [id, status])).toEqual([["m", READ]]);
});

test("what cannot be answered comes back with type 3, and nobody hears of it", async () => {
  const alice = await system.device("no-a@x", "phone");
  const bob = await system.device("no-b@x", "phone");
  const laptop = await system.device("no-b@x", "laptop");
  const message = await written(alice, { eid: "no-b@x", device: bob }, "m");
  await bob.messageSent({ id: "mine", to: { eid: "no-a@x" } });
  const copy = await laptop.until("message", ({ id }) => id === "mine");
  const { monotonicId } = message;
  const cases: [string, MessageInitShape<typeof SignalSchema>, RegExp][] = [
    ["another id", { id: "other", to: { eid: "no-a@x" }, monotonicId }, /^id: .*other|^id: your log/],
    ["another author", { id: "m", to: { eid: "no-c@x" }, monotonicId }, /^id: .*no-c@x/],
    ["another index", { id: "m", to: { eid: "no-a@x" }, monotonicId: monotonicId + 1_000n }, /^id: /],
    ["an index beyond all numbers", { id: "m", to: { eid: "no-a@x" }, monotonicId: 2n ** 63n - 1n }, /^id: /],
    ["no index", { id: "m", to: { eid: "no-a@x" } }, /^monotonic_id: is missing/],
    ["one's own copy", { id: "mine", to: { eid: "no-b@x" }, monotonicId: copy.monotonicId }, /^id: /],
  ];
  for (const [what, init, details] of cases) {
    laptop.received.length = 0;
    laptop.send("signal", signal({ ...init, status: READ }));
    const answer = await comeBack(laptop, init.id ?? "");
    expect(answer.details, what).toMatch(details);
    expect(answer).toMatchObject({ type: 3, status: READ, to: { eid: init.to?.eid }, id: init.id });
    expect(answer.monotonicId).toBe(init.monotonicId ?? 0n);
  }
  give(bob, message, DELIVERED);
  await alice.until("signal", ({ status }) => status === DELIVERED);
  expect(receiptsOf(alice).map(({ status }) => status)).toEqual([DELIVERED]);
  expect(laptop.of("error")).toEqual([]);
});

test("a receipt for a message to oneself reaches one's other devices; the giver sees no gap behind it", async () => {
  const phone = await system.device("self@x", "phone");
  const laptop = await system.device("self@x", "laptop");
  const message = await written(phone, { eid: "self@x", device: laptop }, "note");
  give(laptop, message, READ);
  await phone.until("signal", ({ id, status }) => id === "note" && status === READ);
  expect(receiptsOf(laptop)).toEqual([]);
  const friend = await system.device("self-friend@x", "phone");
  await friend.messageSent({ id: "hello", to: { eid: "self@x" } });
  const hello = await laptop.until("message", ({ id }) => id === "hello");
  expect(hello.previousId).toBe(message.monotonicId);
});

test("a receipt moves the cursor: what it covers is not replayed, what lies behind it is", async () => {
  const alice = await system.device("cur-a@x", "phone");
  const bob = await system.device("cur-b@x", "phone");
  for (let n = 0; n < 6; n++) alice.message({ id: `m${n}`, to: { eid: "cur-b@x" } });
  const messages = await bob.count("message", 6);
  give(bob, messages[2] as Message, DELIVERED);
  await alice.until("signal", ({ id, status }) => id === "m2" && status === DELIVERED);
  await bob.close();
  const again = await system.device("cur-b@x", "phone");
  expect(again.of("message").map(({ id }) => id)).toEqual(["m3", "m4", "m5"]);
  // Without id: the cursor alone, also back to an index before: it stays. Beyond what was handed over: clamped.
  again.send("signal", signal({ status: READ, monotonicId: 2n ** 40n }));
  again.send("signal", signal({ status: DELIVERED, monotonicId: messages[0]?.monotonicId ?? 0n }));
  await again.settle();
  await again.close();
  await alice.messageSent({ id: "m6", to: { eid: "cur-b@x" } });
  const third = await system.device("cur-b@x", "phone");
  expect(third.of("message").map(({ id }) => id)).toEqual(["m6"]);
  await alice.settle();
  expect(receiptsOf(alice)).toHaveLength(1);
});

test("more receipts under way than a session may have: 429 with the id, the others are given", async () => {
  const small = await startSystem({ env: { BIMIP_MAX_PENDING_PER_SESSION: "5" } });
  try {
    const alice = await small.device("many-a@x", "phone");
    const bob = await small.device("many-b@x", "phone");
    const messages: Message[] = [];
    for (let n = 0; n < 40; n++) messages.push(await written(alice, { eid: "many-b@x", device: bob }, `m${n}`));
    for (const message of messages) give(bob, message, READ);
    await bob.settle();
    expect(bob.of("error").length).toBeGreaterThan(0);
    for (const error of bob.of("error")) expect(error).toMatchObject({ code: 429 });
    // Every one is either told or refused, and a refused one can be given again.
    for (const { id } of bob.of("error")) {
      const message = messages.find((one) => one.id === id);
      if (message === undefined) throw new Error(`an error for ${id}, which was never sent`);
      await eventually(`the receipt of ${id}`, async () => {
        give(bob, message, READ);
        await bob.settle();
        return receiptsOf(alice).some((receipt) => receipt.id === id);
      });
    }
    await eventually("40 receipts", () => receiptsOf(alice).length >= 40);
    expect(new Set(receiptsOf(alice).map(({ id }) => id)).size).toBe(40);
    expect(receiptsOf(alice)).toHaveLength(40);
  } finally {
    await small.stop();
  }
});

test("once, also when JetStream has forgotten the first", async () => {
  const short = await startSystem({ env: { BIMIP_DEDUPE_WINDOW_S: "1", BIMIP_LOG_PARTITIONS: "1" } });
  const nc = await connect({ servers: short.nats.url });
  try {
    const alice = await short.device("old-a@x", "phone");
    const bob = await short.device("old-b@x", "phone");
    const tablet = await short.device("old-b@x", "tablet");
    const message = await written(alice, { eid: "old-b@x", device: bob }, "m");
    give(bob, message, READ);
    await alice.until("signal", ({ status }) => status === READ);
    // An id that came later and is forgotten: so is the receipt's.
    const probe = () => jetstream(nc).publish("bimip.log.0.probe", "", { msgID: "probe" });
    await probe();
    await eventually("JetStream forgets", async () => !(await probe()).duplicate);
    for (const device of [bob, tablet]) {
      give(device, message, READ);
      give(device, message, DELIVERED);
    }
    await alice.until("signal", ({ status }) => status === DELIVERED);
    const next = await written(alice, { eid: "old-b@x", device: tablet }, "next");
    give(tablet, next, READ);
    await alice.until("signal", ({ id, status }) => id === "next" && status === READ);
    expect(receiptsOf(alice).map(({ id, status }) => [id, status])).toEqual([
      ["m", READ],
      ["m", DELIVERED],
      ["next", READ],
    ]);
  } finally {
    await nc.close();
    await short.stop();
  }
});
