// Presence of a client against a gateway of this process, which knows no rules: what the client says, when, and what it tells.
// Longer than other files: one client over one scripted server, and each case is a few lines of what came and what was told.
import { LocationSharing, LocationStreamSchema, encodeStanza } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { ALICE, BOB, next, useClients } from "../../test-kit/clients.js";
import { awarenessOf, bodyFrame, type FakeAwareness } from "../../test-kit/fake-awareness.js";
import type { BimipClient } from "../bimip-client.js";
import type { PresenceChange } from "./presence.js";

const clients = useClients();
const [ONLINE, OFFLINE, AWAY, BUSY] = [1, 2, 3, 4];
/** `Body.route` of a snapshot's part. */
const MORE_FOLLOWS = 10;

let fake: FakeAwareness;
let alice: BimipClient;
let changes: PresenceChange[];
let errors: number[];
beforeEach(() => {
  fake = clients.gateway.awareness;
  alice = clients.of(ALICE);
  changes = [];
  errors = [];
  alice.on("presence", (change) => changes.push(change));
  alice.on("error", ({ code }) => errors.push(code));
});

const statuses = (): string[] => changes.map(({ eid, presence }) => `${eid} ${presence?.status ?? "unknown"}`);
/** What came of the client's own, as `type status details`. */
const said = (): string[] => fake.told.map(({ type, status, details }) => `${type} ${status} ${details}`.trim());

/** Loses the connection and waits for the next. */
async function reconnect(client: BimipClient): Promise<void> {
  const again = next(client, "online");
  clients.gateway.drop();
  await again;
  await client.ping();
}

describe("others' presence", () => {
  it("comes with the snapshot, and changes", async () => {
    fake.people.set(ALICE, [awarenessOf(BOB, { status: AWAY })]);
    const raw: number[] = [];
    alice.on("awareness", ({ status }) => raw.push(status));
    expect(alice.presence.live).toBe(false);
    await alice.connect();
    await alice.ping();
    expect([alice.presence.live, alice.presence.get(BOB)?.status]).toEqual([true, "away"]);
    fake.tell(ALICE, awarenessOf(BOB, { status: ONLINE }), awarenessOf(BOB, { type: 2, status: 20 }));
    fake.tell(ALICE, awarenessOf("carol", { status: BUSY }));
    await alice.ping();
    expect(statuses()).toEqual([`${BOB} away`, `${BOB} online`, "carol busy"]);
    expect(alice.presence.get(BOB)?.custom?.status).toBe(20);
    expect([...alice.presence.all().keys()]).toEqual([BOB, "carol"]);
    expect(raw).toEqual([AWAY, ONLINE, 20, BUSY]);
  });

  it("stays readable without a connection; behind it only differences are told", async () => {
    const [bob, carol, dave] = [BOB, "carol", "dave"].map((eid) => awarenessOf(eid, { status: AWAY, timestamp: 5n }));
    if (bob === undefined || carol === undefined || dave === undefined) throw new Error("three people");
    fake.people.set(ALICE, [bob, carol, dave]);
    await alice.connect();
    await alice.ping();
    changes.length = 0;
    fake.people.set(ALICE, [bob, awarenessOf("carol", { status: OFFLINE, timestamp: 9n })]);
    let liveMeanwhile: boolean | undefined;
    alice.on("state", (state) => {
      if (state === "offline") liveMeanwhile = alice.presence.live;
    });
    fake.tellsSnapshots = false;
    await reconnect(alice);
    expect([liveMeanwhile, alice.presence.live, alice.presence.get("dave")?.status]).toEqual([false, false, "away"]);
    clients.gateway.broadcast(bodyFrame(fake.people.get(ALICE) ?? []));
    await alice.ping();
    expect(alice.presence.live).toBe(true);
    expect(statuses()).toEqual(["carol offline", "dave unknown"]);
    expect(changes[0]).toMatchObject({ presence: { lastSeen: new Date(9) }, before: { status: "away" } });
  });

  it("stays readable after close()", async () => {
    fake.people.set(ALICE, [awarenessOf(BOB, { status: AWAY, ttl: 3_600 })]);
    await alice.connect();
    await alice.ping();
    await alice.close();
    expect([alice.presence.live, alice.presence.get(BOB)?.status]).toEqual([false, "away"]);
  });

  it("may come in parts, and what comes between them is newer", async () => {
    fake.people.set(ALICE, [awarenessOf(BOB, { status: AWAY })]);
    await alice.connect();
    await alice.ping();
    fake.tellsSnapshots = false;
    await reconnect(alice);
    changes.length = 0;
    clients.gateway.broadcast(bodyFrame([awarenessOf(BOB, { status: AWAY })], MORE_FOLLOWS));
    clients.gateway.broadcast(bodyFrame([awarenessOf("carol", { status: AWAY })], MORE_FOLLOWS));
    fake.tell(ALICE, awarenessOf("carol", { status: BUSY }), awarenessOf("dave", { status: ONLINE }));
    fake.tell(ALICE, awarenessOf("dave", { status: AWAY }));
    await alice.ping();
    expect([alice.presence.live, statuses()]).toEqual([false, []]);
    clients.gateway.broadcast(bodyFrame([awarenessOf("erin", { status: AWAY })]));
    await alice.ping();
    expect(alice.presence.live).toBe(true);
    expect(statuses()).toEqual(["carol away", "erin away", "carol busy", "dave away"]);
  });

  it("forgets the parts of a snapshot whose connection went", async () => {
    fake.tellsSnapshots = false;
    await alice.connect();
    clients.gateway.broadcast(bodyFrame([awarenessOf(BOB, { status: AWAY })], MORE_FOLLOWS));
    fake.tell(ALICE, awarenessOf("carol", { status: BUSY }));
    await alice.ping();
    fake.tellsSnapshots = true;
    await reconnect(alice);
    expect([alice.presence.live, statuses()]).toEqual([true, []]);
    fake.tell(ALICE, awarenessOf("dave", { status: BUSY }));
    await alice.ping();
    expect(statuses()).toEqual(["dave busy"]);
  });

  it("tells positions", async () => {
    fake.people.set(ALICE, [awarenessOf(BOB, { status: ONLINE })]);
    const places: unknown[] = [];
    alice.on("location", ({ eid, latitude, at }) => places.push([eid, latitude, at.getTime()]));
    await alice.connect();
    const stream = create(LocationStreamSchema, { from: { eid: BOB }, latitude: 7, longitude: 8, timestamp: 5n });
    clients.gateway.broadcast(encodeStanza("locationStream", stream));
    await alice.ping();
    expect(places).toEqual([[BOB, 7, 5]]);
    expect(alice.presence.get(BOB)?.location).toEqual({ latitude: 7, longitude: 8, at: new Date(5) });
  });
});

describe("set", () => {
  it("is said at once, and again on each connection while it lasts", async () => {
    const location = { latitude: 1, longitude: 2 };
    alice.presence.set("busy", { details: "before connect", location });
    await alice.connect();
    await alice.ping();
    alice.presence.set("away", { details: "lunch", ttlS: 3_600, location });
    await alice.ping();
    await reconnect(alice);
    expect(said()).toEqual(["1 4 before connect", "1 3 lunch", "1 3 lunch"]);
    const [first, second, third] = fake.told;
    // A position is of that moment: neither kept for a connection, nor said again.
    expect([first, second, third].map((one) => one?.locationSharing)).toEqual([
      LocationSharing.OFF,
      LocationSharing.ON,
      LocationSharing.OFF,
    ]);
    expect(second).toMatchObject({ ttl: 3_600, latitude: 1, longitude: 2, visibility: 0 });
    expect(third?.ttl).toBeGreaterThan(3_500);
    expect(third?.ttl).toBeLessThanOrEqual(3_600);
    alice.presence.set("online");
    await alice.ping();
    await reconnect(alice);
    expect(said().slice(3)).toEqual(["1 1"]);
  });

  it("is not said again once its ttl passed", async () => {
    const now = vi.spyOn(Date, "now");
    await alice.connect();
    alice.presence.set("dnd", { ttlS: 60 });
    await alice.ping();
    now.mockReturnValue(Date.now() + 61_000);
    await reconnect(alice);
    now.mockRestore();
    expect(said()).toEqual(["1 5"]);
  });

  it("with ONLINE and words keeps the status that its repetition would end", async () => {
    await alice.connect();
    alice.presence.set("online", { details: "at my desk", visibility: "private" });
    alice.presence.setStatus(20, { details: "at sea", ttlS: 600 });
    await alice.ping();
    fake.people.set(ALICE, [awarenessOf(ALICE, { type: 2, status: 20, details: "at sea", ttl: 600 })]);
    await reconnect(alice);
    expect(said()).toEqual(["1 1 at my desk", "2 20 at sea", "1 1 at my desk", "2 20 at sea"]);
    expect(fake.told.at(2)?.visibility).toBe(3);
  });

  it("with ONLINE waits on each connection for the snapshot, and keeps the status that another device set meanwhile", async () => {
    await alice.connect();
    alice.presence.set("online", { details: "at my desk" });
    alice.presence.setStatus(20);
    await alice.ping();
    fake.tellsSnapshots = false;
    await reconnect(alice);
    await alice.ping();
    expect(said()).toEqual(["1 1 at my desk", "2 20"]);
    clients.gateway.broadcast(bodyFrame([awarenessOf(ALICE, { type: 2, status: 33, details: "of the phone" })]));
    await alice.ping();
    await alice.ping();
    expect(said().slice(2)).toEqual(["1 1 at my desk", "2 33 of the phone"]);
    expect(alice.presence.get(ALICE)?.custom?.status).toBe(33);
  });

  it("with any other word is said at once on each connection", async () => {
    fake.tellsSnapshots = false;
    alice.presence.set("busy");
    alice.presence.setStatus(20);
    await alice.connect();
    await alice.ping();
    expect(said()).toEqual(["1 4"]);
    clients.gateway.broadcast(bodyFrame([]));
    await alice.ping();
    await alice.ping();
    expect(said()).toEqual(["1 4", "2 20"]);
  });

  it("in the place of one that the server could not take makes that nobody's loss", async () => {
    await alice.connect();
    fake.fate = ({ details }) => (details === "first" ? 503 : "answer");
    alice.presence.set("away", { details: "first" });
    alice.presence.set("busy", { details: "second" });
    alice.presence.setStatus(20, { details: "first" });
    alice.presence.setStatus(21, { details: "second" });
    await alice.ping();
    await alice.ping();
    expect(said()).toEqual(["1 3 first", "1 4 second", "2 20 first", "2 21 second"]);
    expect(errors).toEqual([]);
  });

  it("to somebody goes to them alone, once, or not at all", async () => {
    alice.presence.set("dnd", { to: BOB });
    await alice.connect();
    alice.presence.set("dnd", { to: BOB, ttlS: 5 });
    alice.presence.setStatus(33, { to: BOB });
    await alice.ping();
    await reconnect(alice);
    expect(said()).toEqual(["1 5", "2 33"]);
    expect(fake.told.map(({ to }) => to?.eid)).toEqual([BOB, BOB]);
    expect(alice.presence.get(ALICE)).toBeUndefined();
  });

  it("tries again what the server cannot take now, and forgets what it refuses", async () => {
    await alice.connect();
    const refusals = [503, 429];
    fake.fate = () => refusals.shift() ?? "answer";
    alice.presence.set("away");
    await vi.waitFor(() => expect(said()).toEqual(["1 3", "1 3", "1 3"]));
    refusals.push(503);
    alice.presence.setStatus(20);
    await vi.waitFor(() => expect(said().slice(3)).toEqual(["2 20", "2 20"]));
    expect(errors).toEqual([]);
    refusals.push(501);
    alice.presence.set("busy");
    await vi.waitFor(() => expect(errors).toEqual([501]));
    fake.people.set(ALICE, [awarenessOf(ALICE, { type: 2, status: 20 })]);
    await reconnect(alice);
    expect(said().slice(5)).toEqual(["1 4"]);
  });

  it.each<[string, () => void, string]>([
    ["a word that is none", () => alice.presence.set("gone" as "away"), "awareness.status"],
    ["a negative ttl", () => alice.presence.set("away", { ttlS: -1 }), "awareness.ttl"],
    [
      "a place that is none",
      () => alice.presence.set("away", { location: { latitude: 91, longitude: 0 } }),
      "awareness.latitude",
    ],
    [
      "a visibility that is none",
      () => alice.presence.set("away", { visibility: "all" as "public" }),
      "awareness.visibility",
    ],
    ["an empty recipient", () => alice.presence.set("away", { to: "" }), "awareness.to.eid"],
    ["a status of type 1", () => alice.presence.setStatus(5), "awareness.status"],
    [
      "no coordinates",
      () => alice.presence.shareLocation({ latitude: Number.NaN, longitude: 0 }),
      "location_stream.latitude",
    ],
    [
      "a position for nobody",
      () => alice.presence.shareLocation({ latitude: 0, longitude: 0 }, { to: "" }),
      "location_stream.to.eid",
    ],
  ])("refuses %s", (_what, call, field) => {
    expect(call).toThrow(expect.objectContaining({ code: 422, field }));
  });
});

describe("a status of one's own", () => {
  it("is told at the next connect, once: another device may set one later", async () => {
    alice.presence.setStatus(20, { details: "at sea" });
    await alice.connect();
    await alice.ping();
    // The snapshot did not know of it yet.
    expect(alice.presence.get(ALICE)?.custom?.status).toBe(20);
    fake.people.set(ALICE, [awarenessOf(ALICE, { type: 2, status: 20, details: "at sea" })]);
    await reconnect(alice);
    expect(said()).toEqual(["2 20 at sea"]);
    expect(statuses()).toEqual([`${ALICE} online`]);
    alice.presence.clearStatus();
    clients.gateway.broadcast(bodyFrame([awarenessOf(ALICE, { type: 2, status: 20, details: "at sea" })]));
    await alice.ping();
    expect(alice.presence.get(ALICE)?.custom).toBeUndefined();
  });

  it("is told again if the server has not read it", async () => {
    clients.gateway.answersPings = false;
    await alice.connect();
    alice.presence.setStatus(20);
    await vi.waitFor(() => expect(said()).toEqual(["2 20"]));
    clients.gateway.answersPings = true;
    await reconnect(alice);
    fake.people.set(ALICE, [awarenessOf(ALICE, { type: 2, status: 20 })]);
    await reconnect(alice);
    fake.people.clear();
    await reconnect(alice);
    expect(said()).toEqual(["2 20", "2 20"]);
    expect(alice.presence.get(ALICE)?.custom).toBeUndefined();
  });

  it.each([
    ["a status", () => alice.presence.setStatus(20), "2 20", []],
    ["its end", () => alice.presence.clearStatus(), "1 1", [awarenessOf(ALICE, { type: 2, status: 20 })]],
  ])("is told again if the connection goes soon after it was read, %s", async (_what, say, words, before) => {
    fake.people.set(ALICE, before);
    await alice.connect();
    await alice.ping();
    say();
    await alice.ping();
    const now = vi.spyOn(Date, "now");
    now.mockReturnValue(Date.now() + 9_000);
    await reconnect(alice);
    await alice.ping();
    expect(said()).toEqual([words, words]);
    now.mockReturnValue(Date.now() + 11_000);
    await reconnect(alice);
    now.mockRestore();
    expect(said()).toEqual([words, words]);
  });

  it("is not told again when another device replaced it, whether that is told at once or in the next snapshot", async () => {
    await alice.connect();
    alice.presence.setStatus(20);
    await alice.ping();
    fake.people.set(ALICE, [awarenessOf(ALICE, { type: 2, status: 33 })]);
    await reconnect(alice);
    alice.presence.setStatus(21);
    await alice.ping();
    fake.tell(ALICE, awarenessOf(ALICE, { type: 2, status: 34 }));
    await alice.ping();
    // As if that had been lost again.
    await reconnect(alice);
    expect(said()).toEqual(["2 20", "2 21"]);
    expect(alice.presence.get(ALICE)?.custom?.status).toBe(33);
  });

  it("is known here, whichever device set or ended it", async () => {
    await alice.connect();
    fake.tell(ALICE, awarenessOf(ALICE, { type: 2, status: 20 }));
    await alice.ping();
    expect(alice.presence.get(ALICE)?.custom?.status).toBe(20);
    alice.presence.setStatus(21);
    expect(alice.presence.get(ALICE)?.custom?.status).toBe(21);
    alice.presence.clearStatus();
    expect(alice.presence.get(ALICE)?.custom).toBeUndefined();
    await alice.ping();
    expect(said()).toEqual(["2 21", "1 1"]);
  });

  it("ends, while the presence stays", async () => {
    await alice.connect();
    alice.presence.set("away", { details: "lunch" });
    alice.presence.clearStatus();
    await alice.ping();
    expect(said()).toEqual(["1 3 lunch", "1 1", "1 3 lunch"]);
    const away = next(alice, "offline");
    clients.gateway.drop();
    await away;
    alice.presence.clearStatus();
    // What the presence is need not wait for the snapshot; but that the status ends, ends it as well.
    await vi.waitFor(() => expect(said().slice(3)).toEqual(["1 1", "1 3 lunch"]));
  });
});

describe("visibility", () => {
  it("is set when the server confirmed it, over reconnects and refusals; each device is told", async () => {
    const other = clients.of(ALICE, { device: "phone" });
    const told: string[] = [];
    alice.on("visibility", (visibility) => told.push(`alice ${visibility}`));
    other.on("visibility", (visibility) => told.push(`other ${visibility}`));
    await Promise.all([alice.connect(), other.connect()]);
    const fates: ("ignore" | 503)[] = [503, "ignore"];
    fake.fate = () => fates.shift() ?? "answer";
    const done = alice.presence.setVisibility("private");
    await vi.waitFor(() => expect(fake.visibilities).toHaveLength(2));
    expect(told).toEqual([]);
    clients.gateway.drop();
    await done;
    expect(new Set(fake.visibilities.map(({ id }) => id)).size).toBe(1);
    expect(told).toContain("alice private");
    await vi.waitFor(() => expect(other.state).toBe("online"));
    await alice.presence.setVisibility("public");
    await vi.waitFor(() => expect(told).toContain("other public"));
  });

  it("is in the end what was asked for last, though the first was to come later", async () => {
    const told: string[] = [];
    alice.on("visibility", (visibility) => told.push(visibility));
    await alice.connect();
    const fates = [503];
    fake.fate = () => fates.shift() ?? "answer";
    const calls = [alice.presence.setVisibility("public"), alice.presence.setVisibility("private")];
    await Promise.all(calls);
    expect(fake.visibilities.map(({ type }) => type)).toEqual([1, 3]);
    expect([told, errors]).toEqual([["private"], []]);
    fake.fate = () => "ignore";
    const again = [alice.presence.setVisibility("public"), alice.presence.setVisibility("contacts")];
    await vi.waitFor(() => expect(fake.visibilities).toHaveLength(4));
    fake.fate = () => "answer";
    clients.gateway.drop();
    await Promise.all(again);
    expect(fake.visibilities.map(({ type }) => type).slice(2)).toEqual([1, 2, 2]);
    // What is no word takes nobody's place.
    fake.fate = () => "ignore";
    const last = alice.presence.setVisibility("public");
    await expect(alice.presence.setVisibility("all" as "public")).rejects.toMatchObject({ code: 422 });
    await vi.waitFor(() => expect(fake.visibilities).toHaveLength(6));
    fake.fate = () => 501;
    const newer = alice.presence.setVisibility("private");
    await expect(last).rejects.toMatchObject({ code: 501 });
    await expect(newer).rejects.toMatchObject({ code: 501 });
  });

  it("is refused at once by a client that is closed", async () => {
    await alice.connect();
    await alice.close();
    const closed = { code: 503, details: "the client is closed" };
    await expect(alice.presence.setVisibility("public")).rejects.toMatchObject(closed);
  });

  it("rejects with what the server answers, when nothing comes, and for what is no word", async () => {
    const hasty = clients.of(ALICE, { queryTimeoutMs: 50, device: "phone" });
    await expect(hasty.presence.setVisibility("public")).rejects.toMatchObject({
      code: 503,
      details: expect.stringMatching(/no connection/),
    });
    await hasty.connect();
    fake.fate = () => "ignore";
    await expect(hasty.presence.setVisibility("public")).rejects.toMatchObject({
      code: 408,
      details: "awareness_visibility: no answer within 50 ms",
    });
    fake.fate = () => 501;
    await expect(hasty.presence.setVisibility("public")).rejects.toMatchObject({ code: 501 });
    const wrong = hasty.presence.setVisibility("friends" as "public");
    await expect(wrong).rejects.toMatchObject({ code: 422, field: "awareness_visibility.type" });
  });
});

it("a position goes out, or nowhere", async () => {
  alice.presence.shareLocation({ latitude: 1, longitude: 2 });
  await alice.connect();
  alice.presence.shareLocation({ latitude: 3, longitude: 4, altitude: 5 });
  alice.presence.shareLocation({ latitude: 6, longitude: 7 }, { to: BOB });
  await alice.ping();
  expect(fake.locations).toMatchObject([
    { latitude: 3, longitude: 4, altitude: 5 },
    { latitude: 6, longitude: 7, to: { eid: BOB } },
  ]);
  expect(fake.locations[1]?.altitude).toBeUndefined();
});
