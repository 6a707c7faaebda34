// PushNotification over real sockets: who may send it, and that it goes the way of a message. Offline push has its own tests.
import { PushNotificationSchema, type Signal, SignalSchema, SignalStatus } from "@bimip/protocol";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Device } from "../kit/device.js";
import { startSystem, type System } from "../kit/system.js";

let system: System;
beforeAll(async () => {
  system = await startSystem({ gateways: 2 });
});
afterAll(() => system.stop());

async function notified(device: Device, init: MessageInitShape<typeof PushNotificationSchema>): Promise<Signal> {
  const notification = create(PushNotificationSchema, init);
  device.send("pushNotification", notification);
  return device.sent(notification.id, notification.to?.eid ?? "");
}

const indexesOf = ({ monotonicId, logId }: Signal): bigint[] => [monotonicId, logId];

test("without the scope: 403, nothing is routed", async () => {
  const bob = await system.device("no-b@x", "phone");
  for (const scope of [undefined, "no-copy pushy"]) {
    const alice = await system.device("no-a@x", `phone${scope ?? ""}`, scope === undefined ? {} : { scope });
    alice.send("pushNotification", create(PushNotificationSchema, { id: "n", to: { eid: "no-b@x" } }));
    expect(await alice.until("error")).toMatchObject({ code: 403, id: "n" });
    await alice.messageSent({ id: "m", to: { eid: "no-b@x" } });
  }
  await bob.until("message");
  await bob.settle();
  expect(bob.of("pushNotification")).toEqual([]);
});

test("stored, confirmed, delivered to every device, copied, replayed, like a message", async () => {
  const shop = await system.device("shop@x", "server", { scope: "push" });
  const desk = await system.device("shop@x", "desk", { gateway: 1 });
  const bobs = [await system.device("cust@x", "one"), await system.device("cust@x", "two", { gateway: 1 })];
  const sent = await notified(shop, {
    id: "n1",
    to: { eid: "cust@x" },
    type: "reminder",
    payload: { data: { text: "tomorrow" } },
  });
  for (const bob of bobs) {
    const notification = await bob.until("pushNotification");
    expect(notification).toMatchObject({ id: "n1", type: "reminder", payload: { data: { text: "tomorrow" } } });
    expect(notification.from).toMatchObject({ eid: "shop@x", connectionResourceId: "server" });
    expect(notification.monotonicId).toBe(sent.monotonicId);
    expect(notification.ack?.status).toEqual([12]);
    expect(Number(notification.timestamp)).toBeGreaterThan(1_700_000_000_000);
  }
  expect((await desk.until("pushNotification")).monotonicId).toBe(sent.logId);
  const late = await system.device("cust@x", "late", { query: "?resume=manual", settle: false });
  late.send("signal", create(SignalSchema, { type: 1, status: SignalStatus.RESUME, monotonicId: -1n }));
  expect((await late.until("pushNotification")).monotonicId).toBe(sent.monotonicId);
});

test("a repeat is stored once; a message of the same id is another entry, with receipts of its own", async () => {
  const shop = await system.device("twice@x", "server", { scope: "push" });
  const bob = await system.device("twice-b@x", "phone");
  const first = await notified(shop, { id: "same", to: { eid: "twice-b@x" } });
  shop.received.length = 0;
  const again = await notified(shop, { id: "same", to: { eid: "twice-b@x" } });
  expect(indexesOf(again)).toEqual(indexesOf(first));
  shop.received.length = 0;
  const message = await shop.messageSent({ id: "same", to: { eid: "twice-b@x" } });
  expect(message.monotonicId).toBeGreaterThan(first.monotonicId);
  await bob.until("message");
  await bob.settle();
  expect(bob.of("pushNotification")).toHaveLength(1);
  for (const { monotonicId } of [first, message]) {
    bob.send("signal", create(SignalSchema, { id: "same", to: { eid: "twice@x" }, type: 1, status: 5, monotonicId }));
  }
  for (const { monotonicId } of [first, message]) {
    await shop.until("signal", (receipt) => receipt.status === 5 && receipt.monotonicId === monotonicId);
  }
});

test("the fields are checked like a message's", async () => {
  const shop = await system.device("bad@x", "server", { scope: "push" });
  shop.send("pushNotification", create(PushNotificationSchema, { id: "n" }));
  expect(await shop.until("error")).toMatchObject({ code: 422, details: "push_notification.to.eid: is missing" });
});
