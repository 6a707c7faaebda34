// Typing and recording over real sockets: live, to online devices alone, never stored, never answered.
import { encodeStanza, type Signal, SignalSchema, SignalStatus } from "@bimip/protocol";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Device } from "../kit/device.js";
import { startSystem, type System } from "../kit/system.js";

const { TYPING, RECORDING } = SignalStatus;

let system: System;
beforeAll(async () => {
  system = await startSystem({ gateways: 2, env: { BIMIP_UNKNOWN_RECIPIENT: "reject" } });
});
afterAll(() => system.stop());

const signal = (init: MessageInitShape<typeof SignalSchema>): Signal => create(SignalSchema, { type: 1, ...init });
const type = (device: Device, init: MessageInitShape<typeof SignalSchema>): void =>
  device.send("signal", signal({ status: TYPING, ...init }));
const typed = (device: Device): string[] =>
  device
    .of("signal")
    .filter(({ status }) => status === TYPING || status === RECORDING)
    .map(({ id }) => id);

/** A message that follows on the same way shows that what came before it is here, or never comes. */
async function until(device: Device, from: Device, eid: string, id: string): Promise<void> {
  await from.messageSent({ id, to: { eid } });
  await device.until("message", (message) => message.id === id);
  await device.settle();
}

test("reaches all online devices of the other, on every gateway, stamped, with the time filled in", async () => {
  const alice = await system.device("typ-a@x", "phone");
  const bobs = [await system.device("typ-b@x", "one"), await system.device("typ-b@x", "two", { gateway: 1 })];
  const before = Date.now();
  const first = signal({ id: "t1", to: { eid: "typ-b@x" }, status: TYPING });
  first.$unknown = [{ no: 1000, wireType: WireType.LengthDelimited, data: Uint8Array.from([2, 7, 8]) }];
  alice.sendBytes(encodeStanza("signal", first));
  type(alice, { id: "t2", to: { eid: "typ-b@x" }, status: RECORDING, timestamp: 42n });
  for (const bob of bobs) {
    const one = await bob.until("signal", ({ id }) => id === "t1");
    expect(one).toMatchObject({ type: 1, status: TYPING, to: { eid: "typ-b@x" } });
    expect(one.from).toMatchObject({ eid: "typ-a@x", connectionResourceId: "phone", node: "gateway-1" });
    expect(Number(one.timestamp)).toBeGreaterThanOrEqual(before);
    expect(one.$unknown?.map(({ no }) => no)).toEqual([1000]);
    expect([one.logId, one.previousId, one.monotonicId]).toEqual([0n, 0n, 0n]);
    expect(await bob.until("signal", ({ id }) => id === "t2")).toMatchObject({ status: RECORDING, timestamp: 42n });
  }
  await alice.settle();
  expect(typed(alice)).toEqual([]);
  expect(alice.of("error")).toEqual([]);
});

test("is dropped for who is offline: nothing of it comes at the next connect", async () => {
  const alice = await system.device("off-a@x", "phone");
  const bob = await system.device("off-b@x", "phone");
  await until(bob, alice, "off-b@x", "m1");
  await bob.close();
  type(alice, { id: "lost", to: { eid: "off-b@x" } });
  await alice.settle();
  const again = await system.device("off-b@x", "phone");
  await until(again, alice, "off-b@x", "m2");
  expect(typed(again)).toEqual([]);
  const tablet = await system.device("off-b@x", "tablet", { query: "?resume=manual", settle: false });
  tablet.send("signal", signal({ id: "r", status: SignalStatus.RESUME, monotonicId: -1n }));
  await tablet.resumed();
  expect(typed(tablet)).toEqual([]);
});

test("to one device: that one alone; to oneself: the other devices, not the one that types", async () => {
  const alice = await system.device("one-a@x", "phone");
  const laptop = await system.device("one-a@x", "laptop", { gateway: 1 });
  const one = await system.device("one-b@x", "one");
  const two = await system.device("one-b@x", "two");
  type(alice, { id: "for two", to: { eid: "one-b@x", connectionResourceId: "two" } });
  type(alice, { id: "for me", to: { eid: "one-a@x" } });
  await two.until("signal", ({ id }) => id === "for two");
  await laptop.until("signal", ({ id }) => id === "for me");
  await until(one, alice, "one-b@x", "m");
  await alice.settle();
  expect(typed(one)).toEqual([]);
  expect(typed(alice)).toEqual([]);
});

test("comes before RESUME to a device that connects manually", async () => {
  const alice = await system.device("man-a@x", "phone");
  const bob = await system.device("man-b@x", "phone", { query: "?resume=manual", settle: false });
  await bob.settle();
  type(alice, { id: "t", to: { eid: "man-b@x" } });
  await bob.until("signal", ({ id }) => id === "t");
  expect(bob.of("message")).toEqual([]);
});

test("without a recipient: 422; to one who may not be written to: that refusal, nothing more", async () => {
  const alice = await system.device("bad-a@x", "phone");
  type(alice, { id: "nobody" });
  expect(await alice.until("error")).toMatchObject({ code: 422, id: "nobody", details: "signal.to.eid: is missing" });
  type(alice, { id: "never seen", to: { eid: "bad-nobody@x" } });
  expect(await alice.until("error", ({ id }) => id === "never seen")).toMatchObject({ code: 404 });
  await alice.settle();
  expect(alice.of("error")).toHaveLength(2);
});
