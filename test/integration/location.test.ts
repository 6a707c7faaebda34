// Positions over real sockets: who gets them, how exactly, how often; and that they are nowhere afterwards, shown by a search
// through all that NATS stores, the logs and the metrics. Cannot show: memory of the processes.
import { AwarenessStatus, AwarenessType, ContactAction, ContactRelationship, Visibility } from "@bimip/protocol";
import { connectNats, type Link } from "@bimip/nats";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { befriend } from "../kit/contacts.js";
import { CoordinateScanner } from "../kit/coordinate-scan.js";
import type { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { startSystem, type System } from "../kit/system.js";

const { AWAY, BUSY, DND } = AwarenessStatus;
const { MUTUAL, UNILATERAL } = ContactRelationship;
const { REQUEST, ACCEPT } = ContactAction;
const HERE = { latitude: 12.345678, longitude: 98.765432 };
const THERE = { latitude: -23.456789, longitude: -87.654321 };
const ALTITUDE = 1_234.567_89;
const PRECISION_M = 1_000;
const METRES_PER_DEGREE = 111_320;
const LIMIT_MS = 100;

const logged: string[] = [];
let system: System;
let link: Link;
/** Shares with each of the others: all, roughly, nothing. */
let alice: Device;
let exact: Device;
let coarse: Device;
let none: Device;

beforeAll(async () => {
  system = await startSystem({ gateways: 2, awareness: 2, onLog: (line) => void logged.push(line) });
  link = await connectNats({ servers: system.nats.url, name: "location" });
  alice = await system.device("loc-a@x", "phone");
  exact = await shares("loc-exact@x", 0);
  coarse = await shares("loc-coarse@x", PRECISION_M);
  none = await shares("loc-none@x", -1);
});
afterAll(async () => {
  await link.nc.close();
  await system.stop();
});

/** A contact of alice's, who lets them know so exactly where she is. */
async function shares(eid: string, locationPrecisionM: number): Promise<Device> {
  const device = await system.device(eid, "phone", { gateway: 1 });
  await device.contactDone({ to: { eid: alice.eid }, relationship: MUTUAL, action: REQUEST });
  await alice.contactDone({ to: { eid }, relationship: MUTUAL, action: ACCEPT, locationPrecisionM });
  await eventually("they see each other", () => device.presenceOf(alice.eid) && alice.presenceOf(eid));
  return device;
}

const comes = (device: Device, id: string) => device.until("locationStream", (one) => one.id === id);

/** What was told of alice before has come to the device, or never does. */
async function fence(...devices: Device[]): Promise<void> {
  const details = `fence ${Math.random()}`;
  alice.awareness({ status: DND, details });
  for (const device of devices) await eventually("the fence", () => device.picture.of(alice.eid)?.details === details);
}

/** Waits until the sender's next position goes out at once. */
const atRest = async (): Promise<void> => {
  const since = performance.now();
  await eventually("the limit is over", () => performance.now() - since > 2 * LIMIT_MS);
};

/** Roughly, near enough for a kilometre. */
function metresBetween(a: typeof HERE, b: typeof HERE): number {
  const north = (a.latitude - b.latitude) * METRES_PER_DEGREE;
  const east = (a.longitude - b.longitude) * METRES_PER_DEGREE * Math.cos((a.latitude * Math.PI) / 180);
  return Math.hypot(north, east);
}

test("a position reaches those who may see, exactly, roughly or not at all, as each contact was granted", async () => {
  const stranger = await system.device("loc-stranger@x", "phone");
  const id = alice.location({ ...HERE, altitude: ALTITUDE });
  expect(await comes(exact, id)).toMatchObject({
    ...HERE,
    altitude: ALTITUDE,
    from: { eid: alice.eid, connectionResourceId: "phone", node: "gateway-1" },
  });
  expect(Number((await comes(exact, id)).timestamp)).toBeGreaterThan(Date.now() - 60_000);
  const rough = await comes(coarse, id);
  expect(metresBetween(HERE, rough)).toBeGreaterThan(1);
  expect(metresBetween(HERE, rough)).toBeLessThan(PRECISION_M);
  expect(rough.altitude).not.toBe(ALTITUDE);
  const found = new CoordinateScanner([HERE.latitude, HERE.longitude]);
  expect(found.find("what came", JSON.stringify(coarse.of("locationStream"), big))).toEqual([]);
  // Many positions of one place tell no more than one does.
  await atRest();
  const near = { latitude: HERE.latitude + 0.000_01, longitude: HERE.longitude - 0.000_01 };
  const again = await comes(coarse, alice.location(near));
  expect([again.latitude, again.longitude]).toEqual([rough.latitude, rough.longitude]);
  await fence(exact, coarse, none);
  await stranger.settle();
  for (const device of [none, stranger]) expect(device.of("locationStream")).toEqual([]);
  await alice.settle();
  expect(alice.of("locationStream")).toEqual([]);
  expect(alice.of("error")).toEqual([]);
});

const big = (_key: string, value: unknown): unknown => (typeof value === "bigint" ? String(value) : value);

test("at most one in 100 ms for each device, and the newest wins", async () => {
  await atRest();
  const start = exact.of("locationStream").length;
  const startedMs = performance.now();
  let sent = 0;
  let last = "";
  await eventually("half a second of positions", () => {
    for (let n = 0; n < 5; n++) last = alice.location({ latitude: ++sent / 100, longitude: 0 });
    return performance.now() - startedMs > 5 * LIMIT_MS;
  });
  const newest = await comes(exact, last);
  expect(newest.latitude).toBe(sent / 100);
  const tookMs = performance.now() - startedMs;
  const came = exact.of("locationStream").slice(start);
  expect(sent).toBeGreaterThan(3 * came.length);
  expect(came.length).toBeGreaterThan(1);
  expect(came.length).toBeLessThanOrEqual(Math.floor(tookMs / LIMIT_MS) + 1);
  const latitudes = came.map(({ latitude }) => latitude);
  expect(latitudes).toEqual([...latitudes].sort((a, b) => a - b));
  // Another device of hers has a limit of its own.
  await atRest();
  const tablet = await system.device(alice.eid, "tablet", { gateway: 1 });
  const both = [alice.location(HERE), tablet.location(THERE)];
  for (const id of both) await comes(exact, id);
  await tablet.close();
});

test("directed: to that user alone; 403 for who is not an accepted contact; nothing to one with whom none is shared", async () => {
  await atRest();
  const laptop = await system.device(exact.eid, "laptop");
  const id = alice.location({ ...THERE, to: { eid: exact.eid } });
  for (const device of [exact, laptop])
    expect(await comes(device, id)).toMatchObject({ ...THERE, to: { eid: exact.eid } });
  await atRest();
  const rough = await comes(coarse, alice.location({ ...HERE, to: { eid: coarse.eid } }));
  expect(metresBetween(HERE, rough)).toBeLessThan(PRECISION_M);
  expect(rough.latitude).not.toBe(HERE.latitude);
  const asker = await system.device("loc-asker@x", "phone");
  await asker.contactDone({ to: { eid: alice.eid }, relationship: MUTUAL, action: REQUEST });
  for (const eid of ["loc-nobody@x", asker.eid]) {
    await atRest();
    const { code, details } = await alice.refusal(alice.location({ ...HERE, to: { eid } }));
    expect(code).toBe(403);
    expect(details).toMatch(/^location_stream\.to\.eid: /);
  }
  await atRest();
  alice.location({ ...HERE, to: { eid: none.eid } });
  await fence(exact, coarse, none);
  expect(none.of("locationStream")).toEqual([]);
  expect(asker.of("locationStream")).toEqual([]);
  expect(coarse.of("locationStream").filter((one) => one.id === id)).toEqual([]);
});

test("an Awareness carries its position only when it is shared, to each as exactly as they may know", async () => {
  alice.awareness({ status: BUSY, details: "off", locationSharing: 0, ...HERE });
  alice.awareness({ status: AWAY, details: "on", locationSharing: 1, ...HERE });
  const by = (device: Device, details: string) =>
    device.untilAwareness((one) => one.from?.eid === alice.eid && one.details === details);
  for (const device of [exact, coarse, none]) await by(device, "on");
  for (const device of [exact, coarse, none])
    for (const off of device.picture.told.filter(({ details }) => details !== "on"))
      expect(off).toMatchObject({ locationSharing: 0, latitude: 0, longitude: 0 });
  expect(await by(exact, "on")).toMatchObject({ locationSharing: 1, ...HERE });
  expect(await by(none, "on")).toMatchObject({ locationSharing: 0, latitude: 0, longitude: 0 });
  const rough = await by(coarse, "on");
  expect(rough.locationSharing).toBe(1);
  expect(rough.latitude).not.toBe(HERE.latitude);
  expect(metresBetween(HERE, rough)).toBeLessThan(PRECISION_M);
  // Directed ones, and those of type 2, alike.
  const directed = { type: AwarenessType.STATUS, status: 50, locationSharing: 1, ...THERE };
  const ids = [exact, coarse, none].map(({ eid }) => alice.awareness({ ...directed, to: { eid } }));
  const [first, second, third] = await Promise.all(
    [exact, coarse, none].map((device, at) => device.untilAwareness((one) => one.id === ids[at])),
  );
  expect(first).toMatchObject({ ...THERE, locationSharing: 1 });
  expect(metresBetween(THERE, second as typeof THERE)).toBeLessThan(PRECISION_M);
  expect(second?.latitude).not.toBe(THERE.latitude);
  expect(third).toMatchObject({ locationSharing: 0, latitude: 0, longitude: 0 });
});

test("live only: who connects later gets no position, in no snapshot", async () => {
  alice.awareness({ status: AWAY, details: "shared", locationSharing: 1, ...HERE });
  await exact.untilAwareness(({ details }) => details === "shared");
  await atRest();
  await comes(exact, alice.location(HERE));
  const later = await system.device(exact.eid, "tablet");
  await later.pictured();
  const shown = later.picture.told.filter(({ from }) => from?.eid === alice.eid);
  expect(shown.length).toBeGreaterThan(0);
  for (const one of shown) expect(one).toMatchObject({ locationSharing: 0, latitude: 0, longitude: 0 });
  await fence(later);
  expect(later.of("locationStream")).toEqual([]);
});

test("private: a position to all reaches nobody; accepted followers of a public user get it", async () => {
  const bob = await system.device("loc-b@x", "phone");
  const follower = await system.device("loc-follower@x", "phone", { gateway: 1 });
  await befriend(bob, exact);
  await follower.contactDone({ to: { eid: bob.eid }, relationship: UNILATERAL, action: REQUEST });
  await bob.contactDone({ to: { eid: follower.eid }, relationship: UNILATERAL, action: ACCEPT });
  await bob.visibilityDone(Visibility.PRIVATE);
  const hidden = bob.location(HERE);
  await atRest();
  await bob.visibilityDone(Visibility.PUBLIC);
  const id = bob.location(HERE);
  for (const device of [exact, follower]) {
    await comes(device, id);
    expect(device.of("locationStream").filter((one) => one.id === hidden)).toEqual([]);
  }
});

test("no coordinate is left in any stream, in the server's files, in the logs or in the metrics", async () => {
  const refused = alice.location({ latitude: 123.456789, longitude: 0 });
  expect(await alice.refusal(refused)).toMatchObject({ code: 422 });
  const coordinates = [HERE.latitude, HERE.longitude, THERE.latitude, THERE.longitude, ALTITUDE, 123.456789];
  const scanner = new CoordinateScanner(coordinates);
  const streams = await scanner.findInStreams(link.nc);
  expect(streams.found).toEqual([]);
  expect(streams.messages).toBeGreaterThan(10);
  const files = await scanner.findInFolder(system.nats.storeDir);
  expect(files.found).toEqual([]);
  expect(files.bytes).toBeGreaterThan(1_000);
  expect(scanner.find("the logs", logged.join("\n"))).toEqual([]);
  expect(logged.length).toBeGreaterThan(2);
  expect(scanner.find("the metrics", await system.metrics())).toEqual([]);
  const scraped = await fetch((system.urls[0] ?? "").replace("ws:", "http:").replace("/v1/ws", "/metrics"));
  const text = await scraped.text();
  expect(text).toContain("bimip_");
  expect(scanner.find("/metrics", text)).toEqual([]);
});

test("the search finds what is planted: in a stream, in its headers, in a file, in text", async () => {
  const scanner = new CoordinateScanner([HERE.latitude]);
  const doubles = Buffer.alloc(24);
  doubles.writeDoubleLE(HERE.latitude, 5);
  const jsm = await jetstreamManager(link.nc);
  await jsm.streams.add({ name: "PLANTED", subjects: ["planted.>"], max_msgs_per_subject: 1 });
  const js = jetstream(link.nc);
  await js.publish("planted.bytes", doubles);
  await js.publish("planted.text", JSON.stringify({ ...HERE }));
  const inStreams = await scanner.findInStreams(link.nc);
  expect(inStreams.found).toEqual([
    `little-endian double of ${HERE.latitude} in PLANTED 1 planted.bytes`,
    `digits of ${HERE.latitude} in PLANTED 2 planted.text`,
  ]);
  // Overwritten, it is no message any more, but still in a file.
  for (const subject of ["planted.bytes", "planted.text"]) await js.publish(subject, "nothing");
  expect((await scanner.findInStreams(link.nc)).found).toEqual([]);
  const files = await eventually("it is in a file", async () => {
    const { found } = await scanner.findInFolder(system.nats.storeDir);
    return found.length > 1 ? found : undefined;
  });
  expect(files.join()).toContain("little-endian double");
  expect(files.join()).toContain("digits");
  for (const text of [
    `latitude ${HERE.latitude}`,
    `rounded 12.34568`,
    doubles.toString("hex"),
    doubles.toString("base64"),
    doubles.subarray(1).toString("base64"),
    doubles.subarray(2).toString("base64url"),
  ])
    expect(scanner.find("text", text), text).not.toEqual([]);
  expect(scanner.find("text", "12.34 and 98.76, 12.3 km")).toEqual([]);
});
