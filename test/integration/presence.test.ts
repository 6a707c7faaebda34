// Presence over real sockets, two gateways, two replicas of awareness: what a user's devices say, what others are shown of
// it, when, and what a block cuts off. Cannot show: who may see whom in every case (who-may-see.test.ts), faults (test/e2e).
// Longer than other files: all of it runs on one system, whose start costs more than any of its tests.
import { setTimeout as delay } from "node:timers/promises";
import {
  type Awareness,
  AwarenessStatus,
  AwarenessType,
  ContactAction,
  type ErrorMessage,
  type Message,
  SignalSchema,
  SignalStatus,
  Visibility,
} from "@bimip/protocol";
import { connectNats, type Link } from "@bimip/nats";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createRandom } from "../chaos/random.js";
import { ask, befriend, block, follow, told, unblock } from "../kit/contacts.js";
import type { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { startSystem, type System } from "../kit/system.js";
import { inBatches } from "../load/crowd.js";
import { readStoredLog } from "../load/stored-log.js";

const { ONLINE, OFFLINE, AWAY, BUSY, DND, TYPING } = AwarenessStatus;
const { PUBLIC, CONTACTS, PRIVATE } = Visibility;
const STATUS = AwarenessType.STATUS;
const GRACE_MS = 500;
const PARTITIONS = 4;
/** Roughly how long the writing of a contact takes when many are written. */
const MEANWHILE_MS = 40;
/** A block must be in force everywhere after so long. */
const BLOCKED_WITHIN_MS = 1_000;

let system: System;
let link: Link;
beforeAll(async () => {
  system = await startSystem({
    gateways: 2,
    awareness: 2,
    env: {
      BIMIP_OFFLINE_GRACE_MS: String(GRACE_MS),
      BIMIP_LOG_PARTITIONS: String(PARTITIONS),
      // What was decided is not forgotten by itself while this file runs: only a block makes a gateway ask again.
      BIMIP_FLOW_CACHE_MS: "60000",
    },
  });
  link = await connectNats({ servers: system.nats.url, name: "presence" });
});
afterAll(async () => {
  await link.nc.close();
  await system.stop();
});

const phoneOf = (eid: string, gateway = 0): Promise<Device> => system.device(eid, "phone", { gateway });

/** Two users who are contacts, on a gateway each. */
async function friends(name: string): Promise<[Device, Device]> {
  const [one, other] = [await phoneOf(`${name}-a@x`), await phoneOf(`${name}-b@x`, 1)];
  await befriend(one, other);
  return [one, other];
}

const isOf = (eid: string) => (awareness: Awareness) => awareness.from?.eid === eid;
const toldOf = (device: Device, eid: string): Awareness[] => device.picture.told.filter(isOf(eid));

/** `by` goes AWAY and says this; whatever was told of it before has come to `device`, or never does. */
async function fence(by: Device, device: Device, details: string): Promise<void> {
  by.awareness({ status: AWAY, details });
  await eventually(`${details} of ${by.eid}`, () => device.picture.of(by.eid)?.details === details);
}

test("a user is as present as their most present device: ONLINE, BUSY, DND, AWAY, OFFLINE", async () => {
  const eid = "order-a@x";
  const devices = [
    await phoneOf(eid),
    await system.device(eid, "two", { gateway: 1 }),
    await system.device(eid, "three"),
  ];
  const [phone, two, three] = devices as [Device, Device, Device];
  const bob = await phoneOf("order-b@x", 1);
  await befriend(phone, bob);
  phone.awareness({ status: AWAY });
  two.awareness({ status: DND, details: "in a meeting" });
  three.awareness({ status: BUSY, details: "on the phone" });
  await bob.sees(eid, BUSY);
  expect(bob.picture.of(eid)).toMatchObject({ device: "three", node: "gateway-1", details: "on the phone" });
  await three.close();
  await bob.sees(eid, DND);
  expect(bob.picture.of(eid)).toMatchObject({ device: "two", node: "gateway-2", details: "in a meeting" });
  await two.close();
  await bob.sees(eid, AWAY);
  expect(bob.picture.of(eid)).toMatchObject({ device: "phone", details: "" });
  const again = await system.device(eid, "two", { gateway: 1 });
  await bob.sees(eid, ONLINE);
  again.awareness({ status: OFFLINE });
  await bob.sees(eid, AWAY);
  phone.awareness({ status: OFFLINE });
  await bob.sees(eid, OFFLINE);
  expect(bob.picture.statusesOf(eid)).toEqual([ONLINE, BUSY, DND, AWAY, ONLINE, AWAY, OFFLINE]);
  expect(bob.picture.told.every(({ to, visibility, latitude }) => !to && visibility === 0 && latitude === 0)).toBe(
    true,
  );
});

test("ttl: a status falls back to ONLINE; a later one without ttl stays", async () => {
  const [alice, bob] = await friends("ttl");
  alice.awareness({ status: BUSY, ttl: 1, details: "a moment" });
  await bob.sees(alice.eid, BUSY);
  const shown = bob.picture.of(alice.eid);
  expect(shown?.ttl).toBe(1);
  await bob.sees(alice.eid, ONLINE, 3_000);
  expect(bob.picture.of(alice.eid)).toMatchObject({ details: "", ttl: 0 });
  alice.awareness({ status: BUSY, ttl: 1 });
  alice.awareness({ status: DND });
  await bob.sees(alice.eid, DND);
  // Another's ttl that began later is over: so the first one's is.
  const [carol, dave] = await friends("ttl-later");
  carol.awareness({ status: AWAY, ttl: 1 });
  await dave.sees(carol.eid, AWAY);
  await dave.sees(carol.eid, ONLINE, 3_000);
  await fence(alice, bob, "still there");
  expect(bob.picture.statusesOf(alice.eid).slice(-2)).toEqual([DND, AWAY]);
});

test("ttl counts down: a later snapshot holds the seconds that are left", async () => {
  const [alice, bob] = await friends("left");
  alice.awareness({ status: DND, ttl: 60 });
  alice.awareness({ type: STATUS, status: 1_234, ttl: 90, details: "cooking" });
  await eventually("both", () => bob.presenceOf(alice.eid) === DND && bob.picture.activityOf(alice.eid) === 1_234);
  const later = await system.device(bob.eid, "tablet");
  await later.pictured();
  const [presence, status] = toldOf(later, alice.eid).sort((a, b) => a.type - b.type);
  expect(presence).toMatchObject({ type: 1, status: DND });
  expect(status).toMatchObject({ type: 2, status: 1_234, details: "cooking" });
  for (const [awareness, ttl] of [
    [presence, 60],
    [status, 90],
  ] as const) {
    expect(awareness?.ttl).toBeGreaterThan(ttl - 10);
    expect(awareness?.ttl).toBeLessThanOrEqual(ttl);
  }
});

test("type 2 is per user: unknown numbers are passed on, the last one wins, ttl and ONLINE end it", async () => {
  const [alice, bob] = await friends("type2");
  const laptop = await system.device(alice.eid, "laptop", { gateway: 1 });
  alice.awareness({ type: STATUS, status: TYPING });
  await eventually("TYPING", () => bob.picture.activityOf(alice.eid) === TYPING);
  laptop.awareness({ type: STATUS, status: 2_000_000_000, details: "of our own" });
  await eventually("our own", () => bob.picture.activityOf(alice.eid) === 2_000_000_000);
  expect(toldOf(bob, alice.eid).at(-1)).toMatchObject({ type: 2, details: "of our own", ttl: 0 });
  expect(bob.presenceOf(alice.eid)).toBe(ONLINE);
  laptop.awareness({ type: STATUS, status: 7_777, ttl: 1 });
  await eventually("the next", () => bob.picture.of(alice.eid)?.activity === 7_777);
  // Not the device's own counting: the server says so.
  await eventually("its end, told as presence", () => bob.picture.of(alice.eid)?.activity === 0, 4_000);
  expect(toldOf(bob, alice.eid).at(-1)).toMatchObject({ type: 1, status: ONLINE });
  alice.awareness({ type: STATUS, status: 8_888 });
  await eventually("another", () => bob.picture.activityOf(alice.eid) === 8_888);
  alice.awareness({ status: BUSY });
  laptop.awareness({ status: BUSY });
  await bob.sees(alice.eid, BUSY);
  expect(bob.picture.activityOf(alice.eid)).toBe(8_888);
  const count = toldOf(bob, alice.eid).length;
  alice.awareness({ status: ONLINE });
  await eventually("ended by ONLINE", () => bob.picture.activityOf(alice.eid) === 0);
  await bob.sees(alice.eid, ONLINE);
  alice.awareness({ status: ONLINE, details: "later" });
  await eventually("a later change", () => bob.picture.of(alice.eid)?.details === "later");
  const statuses = toldOf(bob, alice.eid).slice(count);
  expect(statuses.map(({ type, status, details }) => [type, status, details])).toEqual([
    [1, ONLINE, ""],
    [1, ONLINE, "later"],
  ]);
  const later = await system.device(bob.eid, "tablet");
  await later.pictured();
  expect(later.picture.of(alice.eid)).toMatchObject({ status: ONLINE, activity: 0 });
});

test("a type-2 status holds when presence changes, and when ONLINE is told again", async () => {
  const [alice, bob] = await friends("holds");
  alice.awareness({ type: STATUS, status: 99 });
  await eventually("it", () => bob.picture.activityOf(alice.eid) === 99);
  alice.awareness({ status: BUSY });
  await bob.sees(alice.eid, BUSY);
  expect(bob.picture.activityOf(alice.eid)).toBe(99);
  // Not a device's word: its second device connects, and so the user is ONLINE.
  await system.device(alice.eid, "laptop");
  await bob.sees(alice.eid, ONLINE);
  await eventually("it still holds", () => bob.picture.activityOf(alice.eid) === 99);
});

test("OFFLINE comes after the grace period, with the time when the user was seen last", async () => {
  const [alice, bob] = await friends("grace");
  const [leftAtMs, leftAt] = [performance.now(), Date.now()];
  await alice.close();
  await bob.sees(alice.eid, OFFLINE);
  const tookMs = performance.now() - leftAtMs;
  expect(tookMs).toBeGreaterThanOrEqual(GRACE_MS);
  expect(tookMs).toBeLessThan(GRACE_MS + 3_000);
  const { timestamp } = bob.picture.of(alice.eid) ?? { timestamp: 0 };
  expect(timestamp).toBeGreaterThanOrEqual(leftAt - 50);
  expect(timestamp).toBeLessThan(leftAt + GRACE_MS);
  const later = await system.device(bob.eid, "tablet");
  await later.pictured();
  expect(later.picture.of(alice.eid)).toMatchObject({ status: OFFLINE, timestamp });
});

test("flapping within the grace period shows nothing", async () => {
  const [alice, bob] = await friends("flap");
  let device = alice;
  for (let n = 0; n < 20; n++) {
    if (n % 2 === 0) device.socket.terminate();
    else await device.close();
    device = await phoneOf(alice.eid, n % 2);
  }
  await fence(device, bob, "here");
  expect(bob.picture.statusesOf(alice.eid)).toEqual([ONLINE, AWAY]);
});

test("a connection that replaces the device's own shows nothing and begins ONLINE", async () => {
  const [alice, bob] = await friends("replace");
  alice.awareness({ status: DND });
  await bob.sees(alice.eid, DND);
  const second = await phoneOf(alice.eid, 1);
  expect((await alice.closing()).code).toBe(4409);
  await bob.sees(alice.eid, ONLINE);
  await fence(second, bob, "second");
  expect(bob.picture.statusesOf(alice.eid)).toEqual([ONLINE, DND, ONLINE, AWAY]);
});

test("a change is not echoed to its author's device, and reaches the author's other devices", async () => {
  const [phone, bob] = await friends("echo");
  const laptop = await system.device(phone.eid, "laptop", { gateway: 1 });
  const said = new Map<Device, string[]>([
    [phone, []],
    [laptop, []],
  ]);
  const says = (device: Device, init: Parameters<Device["awareness"]>[0]): void =>
    void said.get(device)?.push(device.awareness(init));
  const hears = (device: Device, details: string) =>
    eventually(`${details} of the other device`, () =>
      toldOf(device, phone.eid).some((one) => one.details === details),
    );
  says(laptop, { status: AWAY, details: "no change: the phone is there" });
  // One after the other: when this has come, the laptop is AWAY.
  says(laptop, { type: STATUS, status: 76, details: "of the laptop" });
  await hears(phone, "of the laptop");
  says(phone, { status: BUSY, details: "by the phone" });
  await hears(laptop, "by the phone");
  says(phone, { type: STATUS, status: TYPING, details: "typed by the phone" });
  await hears(laptop, "typed by the phone");
  says(laptop, { status: ONLINE, details: "by the laptop" });
  await hears(phone, "by the laptop");
  says(laptop, { type: STATUS, status: 77, details: "typed by the laptop" });
  await hears(phone, "typed by the laptop");
  says(phone, { type: STATUS, status: 78, details: "the last" });
  await hears(laptop, "the last");
  await hears(bob, "the last");
  for (const [device, ids] of said) expect(toldOf(device, phone.eid).filter(({ id }) => ids.includes(id))).toEqual([]);
  const tablet = await system.device(phone.eid, "tablet");
  await tablet.pictured();
  expect(toldOf(tablet, phone.eid).filter(({ type }) => type === STATUS)).toMatchObject([{ status: 78 }]);
});

test("directed: to that user's devices alone, live only; 403 for one who may not see; no picture changes", async () => {
  const [alice, bob] = await friends("directed");
  const carol = await phoneOf("directed-c@x", 1);
  await befriend(alice, carol);
  const laptop = await system.device(bob.eid, "laptop");
  const tablet = await system.device(alice.eid, "tablet");
  const id = alice.awareness({ status: DND, to: { eid: bob.eid }, details: "for you" });
  for (const device of [bob, laptop]) {
    const got = await device.untilAwareness((one) => one.id === id);
    expect(got).toMatchObject({ to: { eid: bob.eid }, details: "for you", status: DND });
    expect(got.from).toMatchObject({ eid: alice.eid, connectionResourceId: "phone", node: "gateway-1" });
    expect(device.presenceOf(alice.eid)).toBe(ONLINE);
  }
  const refused = alice.awareness({ status: DND, to: { eid: "directed-stranger@x" } });
  const error: ErrorMessage = await alice.refusal(refused);
  expect(error.code).toBe(403);
  expect(error.details).toMatch(/^awareness\.to\.eid: /);
  await carol.close();
  await bob.close();
  await laptop.close();
  alice.awareness({ type: STATUS, status: 55, to: { eid: bob.eid } });
  await alice.refusal(alice.awareness({ status: DND, to: { eid: "directed-stranger@x" } }));
  const back = [await phoneOf(bob.eid), await phoneOf(carol.eid)];
  await Promise.all(back.map((device) => device.sees(alice.eid, ONLINE)));
  alice.awareness({ status: BUSY, details: "to all" });
  tablet.awareness({ status: BUSY, details: "to all" });
  for (const device of back) {
    await device.sees(alice.eid, BUSY);
    expect(device.picture.directed).toEqual([]);
  }
  expect(alice.of("error")).toHaveLength(2);
  expect(carol.picture.directed).toEqual([]);
});

test("visibility: confirmed to all devices with the same id, effective at once and later, in both directions", async () => {
  const [alice, bob] = await friends("visible");
  const tablet = await system.device(alice.eid, "tablet", { gateway: 1 });
  const follower = await phoneOf("visible-f@x", 1);
  await ask(follower, alice.eid, 1);
  expect(follower.presenceOf(alice.eid)).toBeUndefined();
  const set = async (visibility: Visibility): Promise<void> => {
    const id = alice.visibility(visibility);
    for (const device of [alice, tablet])
      expect(await device.until("awarenessVisibility", (one) => one.id === id)).toMatchObject({
        type: visibility,
        from: { eid: alice.eid },
      });
  };
  /** What a device sees that connects now: undefined = nothing. */
  const seenLater = async (eid: string): Promise<number | undefined> => {
    const later = await system.device(eid, "later");
    await later.pictured();
    await later.close();
    return later.presenceOf(alice.eid);
  };
  const nobody = () => Promise.all([seenLater(bob.eid), seenLater(follower.eid)]);
  expect(await nobody()).toEqual([ONLINE, undefined]);
  await set(PUBLIC);
  await follower.sees(alice.eid, ONLINE);
  expect(await nobody()).toEqual([ONLINE, ONLINE]);
  const startedMs = performance.now();
  await set(PRIVATE);
  await bob.sees(alice.eid, OFFLINE);
  await follower.sees(alice.eid, OFFLINE);
  expect(performance.now() - startedMs, "without the grace period").toBeLessThan(GRACE_MS);
  expect(await nobody()).toEqual([undefined, undefined]);
  alice.awareness({ status: DND });
  tablet.awareness({ status: DND });
  await set(CONTACTS);
  await bob.sees(alice.eid, DND);
  expect(await nobody()).toEqual([DND, undefined]);
  expect(bob.picture.statusesOf(alice.eid)).toEqual([ONLINE, OFFLINE, DND]);
  expect(follower.picture.statusesOf(alice.eid)).toEqual([ONLINE, OFFLINE]);
  expect(bob.of("awarenessVisibility")).toEqual([]);
});

test("visibility of one status narrows the setting while it holds, and never widens it", async () => {
  const [alice, bob] = await friends("narrow");
  alice.awareness({ status: BUSY, visibility: PRIVATE, ttl: 2 });
  await bob.sees(alice.eid, OFFLINE);
  const later = await system.device(bob.eid, "tablet");
  await later.pictured();
  expect(later.presenceOf(alice.eid)).toBeUndefined();
  await bob.sees(alice.eid, ONLINE, 5_000);
  await alice.visibilityDone(PRIVATE);
  await bob.sees(alice.eid, OFFLINE);
  alice.awareness({ status: BUSY, visibility: PUBLIC });
  await alice.visibilityDone(CONTACTS);
  await bob.sees(alice.eid, BUSY);
  expect(bob.picture.statusesOf(alice.eid)).toEqual([ONLINE, OFFLINE, ONLINE, OFFLINE, BUSY]);
});

test("a wrong status or visibility is answered with 422 that names the field, and nobody is told", async () => {
  const [alice, bob] = await friends("wrong");
  const ids = [
    ["awareness.status: is missing", alice.awareness({ status: 0 })],
    ["awareness.status: is 6", alice.awareness({ status: 6 })],
    ["awareness.status: is 3", alice.awareness({ type: STATUS, status: 3 })],
    ["awareness.type: is 3", alice.awareness({ type: 3, status: 3 })],
    ["awareness.ttl: is -1", alice.awareness({ status: 3, ttl: -1 })],
    ["awareness.visibility: is 4", alice.awareness({ status: 3, visibility: 4 })],
    ["awareness.latitude: is 91", alice.awareness({ status: 3, locationSharing: 1, latitude: 91 })],
    ["awareness_visibility.type: is 7", alice.visibility(7)],
    ["awareness_visibility.type: is missing", alice.visibility(0)],
  ] as const;
  for (const [details, id] of ids) {
    const error = await alice.refusal(id);
    expect(error.code).toBe(422);
    expect(error.details.slice(0, details.length)).toBe(details);
  }
  await fence(alice, bob, "now right");
  expect(bob.picture.statusesOf(alice.eid)).toEqual([ONLINE, AWAY]);
});

/** Writes until it is refused; how long that took. */
async function untilRefused(from: Device, to: string): Promise<number> {
  const startedMs = performance.now();
  for (let n = 0; performance.now() - startedMs < 10 * BLOCKED_WITHIN_MS; n++) {
    const id = `probe-${n}-${Math.random()}`;
    from.message({ id, to: { eid: to } });
    if ((await answered(from, id)) === 403) return performance.now() - startedMs;
  }
  throw new Error(`${from.eid} still writes to ${to}`);
}

/** The code of the error that answers a message, 0 for SENT. */
async function answered(from: Device, id: string): Promise<number> {
  const answer = await eventually(
    () => `an answer to ${id}`,
    () => [...from.of("error"), ...from.of("signal")].find((one) => one.id === id),
  );
  return "code" in answer ? answer.code : 0;
}

test("a block is in force on both gateways within a second, in both directions, and leaves nothing behind", async () => {
  const alices = [await phoneOf("block-a@x"), await system.device("block-a@x", "laptop", { gateway: 1 })];
  const bobs = [await phoneOf("block-b@x", 1), await system.device("block-b@x", "laptop")];
  const [alice, bob] = [alices[0] as Device, bobs[0] as Device];
  await befriend(alice, bob);
  const ways = [
    ...alices.map((device, at) => ({ device, at, to: bob.eid })),
    ...bobs.map((device, at) => ({ device, at, to: alice.eid })),
  ];
  // Each of the four devices has a decided flow at its gateway, and a message that it has not answered.
  for (const { device, at, to } of ways) await device.messageSent({ id: `warm ${at}`, to: { eid: to } });
  const unread = new Map<Device, Message>();
  for (const { device, to } of ways)
    unread.set(device, await device.until("message", ({ id, from }) => id === "warm 1" && from?.eid === to));
  await block(alice, bob.eid);
  const took = await Promise.all(ways.map(({ device, to }) => untilRefused(device, to)));
  for (const ms of took) expect(ms).toBeLessThan(BLOCKED_WITHIN_MS);
  for (const { device, to } of ways) await device.sees(to, OFFLINE);
  for (const device of bobs) await told(device, alice.eid, ContactAction.REMOVED);
  for (const device of alices) await told(device, alice.eid, ContactAction.BLOCK);
  for (const device of bobs) expect(device.of("awarenessContact").some(({ action }) => action > 6)).toBe(false);

  const logs = () => Promise.all([alice, bob].map(({ eid }) => readStoredLog(link.nc, eid, PARTITIONS)));
  const before = await logs();
  for (const { device } of ways) device.received.length = 0;
  for (const { device, to } of ways) {
    const { id = "", monotonicId = 0n } = unread.get(device) ?? {};
    const signal = { id, type: 1, to: { eid: to } };
    device.message({ id: "message", to: { eid: to } });
    device.send("signal", create(SignalSchema, { ...signal, status: SignalStatus.READ, monotonicId }));
    device.send("signal", create(SignalSchema, { ...signal, status: SignalStatus.TYPING, id: "typing" }));
    const directed = device.awareness({ status: DND, to: { eid: to } });
    const location = device.location({ latitude: 1, longitude: 2, to: { eid: to } });
    for (const one of ["message", id, "typing", directed, location])
      expect(await device.refusal(one), one).toMatchObject({ code: 403 });
    device.awareness({ status: DND, details: "not for you" });
    device.location({ latitude: 3, longitude: 4 });
    await device.settle();
  }
  // By way of a third user: what was on its way has come.
  const carol = await phoneOf("block-c@x");
  await befriend(carol, alice);
  await befriend(carol, bob);
  await fence(carol, alice, "fence");
  await fence(carol, bob, "fence");
  for (const { device, to } of ways) {
    expect(device.received.filter(({ value }) => "from" in value && value.from?.eid === to)).toEqual([]);
    expect(device.presenceOf(to)).toBe(OFFLINE);
  }
  expect(await logs()).toEqual(before);
  for (const [eid, other] of [
    [alice.eid, bob.eid],
    [bob.eid, alice.eid],
  ] as const) {
    const later = await system.device(eid, "later");
    await later.pictured();
    expect(later.presenceOf(other)).toBeUndefined();
  }
});

test("who hides while the other one leaves, or is blocked, is not seen any more: 60 pairs at once", async () => {
  const pairs = await inBatches(
    Array.from({ length: 60 }, (_, n) => n),
    (n) => friends(`both-${n}`),
    10,
  );
  const random = createRandom(1);
  await Promise.all(
    pairs.map(async ([seen, viewer], n) => {
      const action = n % 2 === 0 ? ContactAction.REMOVE : ContactAction.BLOCK;
      const [by, whom] = n % 4 < 2 ? [viewer, seen] : [seen, viewer];
      by.contact({ to: { eid: whom.eid }, action });
      // What a contact takes longer to be written.
      await delay(random.next() * MEANWHILE_MS);
      if (n % 3 === 0) seen.visibility(PRIVATE);
      else seen.awareness({ status: BUSY, visibility: PRIVATE });
    }),
  );
  for (const [seen, viewer] of pairs) {
    await viewer.sees(seen.eid, OFFLINE);
    await seen.sees(viewer.eid, OFFLINE);
  }
});

test("contacts cannot be asked across a block: 403 for the blocked one, 409 for the one who blocks", async () => {
  const [alice, bob] = [await phoneOf("wall-a@x"), await phoneOf("wall-b@x", 1)];
  await block(alice, bob.eid);
  for (const action of [ContactAction.REQUEST, ContactAction.ACCEPT, ContactAction.DENY]) {
    const blocked = await bob.refusal(bob.contact({ to: { eid: alice.eid }, relationship: 2, action }));
    expect(blocked).toMatchObject({ code: 403, details: expect.stringMatching(/^awareness_contact\.to\.eid: /) });
    const blocks = await alice.refusal(alice.contact({ to: { eid: bob.eid }, relationship: 2, action }));
    expect(blocks).toMatchObject({
      code: 409,
      details: expect.stringMatching(/^awareness_contact\.to\.eid: .*unblock/),
    });
  }
  expect(alice.of("awarenessContact").map(({ action }) => action)).toEqual([ContactAction.BLOCK]);
  expect(bob.of("awarenessContact")).toEqual([]);
});

test("unblock restores nothing by itself: messages pass, the contact is gone until it is asked again", async () => {
  const [alice, bob] = await friends("unblock");
  await alice.messageSent({ id: "before", to: { eid: bob.eid } });
  await bob.messageSent({ id: "before", to: { eid: alice.eid } });
  await block(alice, bob.eid);
  await Promise.all([untilRefused(alice, bob.eid), untilRefused(bob, alice.eid)]);
  await unblock(alice, bob.eid);
  for (const [from, to] of [
    [alice, bob],
    [bob, alice],
  ] as const) {
    await eventually("messages pass", async () => {
      const { id } = from.message({ id: `after-${from.received.length}`, to: { eid: to.eid } });
      return (await answered(from, id)) === 0;
    });
  }
  alice.awareness({ status: BUSY });
  bob.awareness({ status: BUSY });
  const carol = await phoneOf("unblock-c@x");
  await befriend(carol, alice);
  await befriend(carol, bob);
  for (const [device, other] of [
    [alice, bob.eid],
    [bob, alice.eid],
  ] as const) {
    await fence(carol, device, "fence");
    expect(device.picture.statusesOf(other)).toEqual([ONLINE, OFFLINE]);
  }
  await follow(bob, alice);
  await bob.sees(alice.eid, BUSY);
  expect(alice.presenceOf(bob.eid)).toBe(OFFLINE);
});

test("the first of presence is one snapshot, even when it is empty; later changes are an Awareness each", async () => {
  const lonely = await phoneOf("first-l@x");
  await lonely.pictured();
  expect(lonely.of("body")).toMatchObject([{ route: 9n, awarenessList: [] }]);
  const [alice, bob] = await friends("first");
  expect(bob.of("body").map(({ route, awarenessList }) => [route, awarenessList.length])).toEqual([
    [9n, 0],
    [2n, 1],
  ]);
  alice.awareness({ status: DND });
  await bob.sees(alice.eid, DND);
  expect(bob.of("awareness")).toHaveLength(1);
  const other = await system.device(bob.eid, "laptop");
  await other.pictured();
  expect(other.of("body")).toMatchObject([{ route: 9n, awarenessList: [{ status: DND, from: { eid: alice.eid } }] }]);
  expect(Number(other.of("body")[0]?.timestamp)).toBeGreaterThan(0);
});
