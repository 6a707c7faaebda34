// What is kept of others' presence, on a clock of the test's own.
import { LocationStreamSchema } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type AwarenessInit, awarenessOf } from "../../test-kit/fake-awareness.js";
import type { LocationChange, Presence } from "./presence.js";
import { PresenceStore } from "./presence-store.js";

const [ONLINE, OFFLINE, AWAY, BUSY, DND] = [1, 2, 3, 4, 5];
const [ANN, BOB, ME] = ["ann", "bob", "me"];
const START = new Date("2026-01-01T12:00:00Z");
const at = (s: number): Date => new Date(START.getTime() + s * 1_000);

let store: PresenceStore;
/** What was told, as `eid status custom`. */
let told: string[];
let places: LocationChange[];

function words(presence: Presence | undefined): string {
  if (presence === undefined) return "unknown";
  const custom = presence.custom === undefined ? "" : ` ${presence.custom.status}`;
  return `${presence.status}${custom}${presence.location === undefined ? "" : " located"}`;
}

beforeEach(() => {
  vi.useFakeTimers({ now: START });
  told = [];
  places = [];
  store = new PresenceStore({
    ownEid: () => ME,
    onChange: ({ eid, presence, before }) => {
      expect(store.get(eid)).toEqual(presence);
      told.push(`${eid} ${words(before)} > ${words(presence)}`);
    },
    onLocation: (place) => places.push(place),
  });
  store.open();
});
afterEach(() => {
  store.end();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

const custom = (eid: string, status: number, init: AwarenessInit = {}) =>
  awarenessOf(eid, { type: 2, status, ...init });
const toMe = { to: { eid: ME } };

describe("what is told", () => {
  it("becomes words and times", () => {
    store.take([awarenessOf(ANN, { status: AWAY, details: "lunch", timestamp: 5n, ttl: 60 })]);
    expect(store.get(ANN)).toEqual({ eid: ANN, status: "away", details: "lunch", since: new Date(5), until: at(60) });
    store.take([awarenessOf(ANN, { status: OFFLINE, timestamp: 7n })]);
    expect(store.get(ANN)).toEqual({ eid: ANN, status: "offline", details: "", lastSeen: new Date(7) });
    store.take([awarenessOf(ANN, { status: 77 })]);
    expect(store.get(ANN)?.status).toBe(77);
    expect([...store.all.keys()]).toEqual([ANN]);
  });

  it("is a change only if it looks different", () => {
    store.take([awarenessOf(ANN, { status: AWAY, timestamp: 5n })]);
    store.take([awarenessOf(ANN, { status: AWAY, timestamp: 6n })]);
    store.take([awarenessOf(ANN, { status: AWAY, details: "lunch" })]);
    expect(told).toEqual(["ann unknown > away", "ann away > away"]);
  });

  it("counts together when it comes together", () => {
    store.take([awarenessOf(ANN, { status: ONLINE }), custom(ANN, 20)]);
    store.take([awarenessOf(ANN, { status: ONLINE }), custom(ANN, 20), awarenessOf(BOB, { status: DND })]);
    expect(told).toEqual(["ann unknown > online 20", "bob unknown > dnd"]);
  });

  it("takes nothing from what it does not understand", () => {
    store.take([awarenessOf("", { status: AWAY }), awarenessOf(ANN, { type: 9, status: AWAY }), awarenessOf(ANN, {})]);
    store.take([awarenessOf(ANN, { status: OFFLINE, timestamp: 2n ** 62n })]);
    expect([...store.all.values()]).toEqual([{ eid: ANN, status: "offline", details: "" }]);
  });
});

describe("a status of type 2", () => {
  it("stands beside the presence, and ends with ONLINE alone", () => {
    store.take([awarenessOf(ANN, { status: ONLINE })]);
    store.take([custom(ANN, 20, { details: "at sea" })]);
    store.take([awarenessOf(ANN, { status: BUSY })]);
    expect(store.get(ANN)).toMatchObject({ status: "busy", custom: { status: 20, details: "at sea" } });
    store.take([awarenessOf(ANN, { status: ONLINE })]);
    expect(store.get(ANN)).toEqual({ eid: ANN, status: "online", details: "" });
  });

  it("is not shown of who is gone, until it is told again", () => {
    store.take([awarenessOf(ANN, { status: AWAY }), custom(ANN, 20)]);
    store.take([custom(ANN, 33, toMe)]);
    store.take([awarenessOf(ANN, { status: OFFLINE, timestamp: 7n })]);
    expect(store.get(ANN)).toEqual({ eid: ANN, status: "offline", details: "", lastSeen: new Date(7) });
    store.take([awarenessOf(ANN, { status: AWAY })]);
    expect(store.get(ANN)?.custom).toBeUndefined();
    store.take([custom(ANN, 20)]);
    store.take([awarenessOf(ANN, { status: OFFLINE, ...toMe })]);
    expect(store.get(ANN)).toMatchObject({ status: "offline", custom: { status: 20 } });
  });

  it("ends at its ttl", async () => {
    store.take([awarenessOf(ANN, { status: AWAY }), custom(ANN, 20, { ttl: 30 })]);
    expect(store.get(ANN)?.custom?.until).toEqual(at(30));
    await vi.advanceTimersByTimeAsync(29_999);
    expect(told).toEqual(["ann unknown > away 20"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(told.slice(1)).toEqual(["ann away 20 > away"]);
  });

  it("outlives the longest wait of a timer", async () => {
    store.take([custom(ANN, 20, { ttl: 60 * 86_400 })]);
    await vi.advanceTimersByTimeAsync(59 * 86_400_000);
    expect(told).toEqual(["ann unknown > online 20"]);
    await vi.advanceTimersByTimeAsync(86_400_000);
    expect(told.slice(1)).toEqual(["ann online 20 > unknown"]);
  });
});

describe("a presence with a ttl", () => {
  it("falls back to online; the status stays", async () => {
    store.take([awarenessOf(ANN, { status: DND, details: "focus", ttl: 10 }), custom(ANN, 20)]);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(store.get(ANN)).toMatchObject({ status: "online", details: "", custom: { status: 20 } });
    store.take([awarenessOf(ANN, { status: ONLINE }), custom(ANN, 20)]);
    expect(told).toEqual(["ann unknown > dnd 20", "ann dnd 20 > online 20"]);
  });
});

describe("what is for us alone", () => {
  it("holds until the next change", () => {
    store.take([awarenessOf(ANN, { status: ONLINE })]);
    store.take([awarenessOf(ANN, { status: DND, ...toMe })]);
    expect(store.get(ANN)?.status).toBe("dnd");
    store.take([awarenessOf(ANN, { status: AWAY })]);
    expect(told.slice(1)).toEqual(["ann online > dnd", "ann dnd > away"]);
  });

  it("gives way at its ttl to what was before, as that is by then", async () => {
    store.take([awarenessOf(ANN, { status: BUSY, ttl: 20 }), custom(ANN, 20, { ttl: 100 })]);
    store.take([awarenessOf(ANN, { status: ONLINE, ttl: 30, ...toMe })]);
    expect(store.get(ANN)).toMatchObject({ status: "online" });
    expect(store.get(ANN)?.custom).toBeUndefined();
    await vi.advanceTimersByTimeAsync(20_000);
    store.take([custom(ANN, 33, { ttl: 15, ...toMe })]);
    await vi.advanceTimersByTimeAsync(10_000);
    // BUSY has ended meanwhile.
    expect(store.get(ANN)).toMatchObject({ status: "online", custom: { status: 33 } });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(store.get(ANN)).toMatchObject({ status: "online", custom: { status: 20 } });
  });

  it("does not hide a status any longer than it is the last word", () => {
    store.take([awarenessOf(ANN, { status: AWAY }), custom(ANN, 20)]);
    store.take([awarenessOf(ANN, { status: ONLINE, ...toMe })]);
    store.take([awarenessOf(ANN, { status: BUSY })]);
    expect(store.get(ANN)).toMatchObject({ status: "busy", custom: { status: 20 } });
  });

  it("may be all that is known", async () => {
    store.take([awarenessOf(ANN, { status: BUSY, ttl: 5, ...toMe })]);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(told).toEqual(["ann unknown > busy", "ann busy > unknown"]);
  });
});

describe("a snapshot", () => {
  it("takes the place of everything, and tells the differences", () => {
    expect(store.live).toBe(false);
    store.snapshot([
      awarenessOf(ANN, { status: AWAY }),
      custom(ANN, 20, { ttl: 50 }),
      awarenessOf(BOB, { status: DND }),
    ]);
    expect(store.live).toBe(true);
    store.interrupt();
    expect([store.live, store.get(BOB)?.status]).toEqual([false, "dnd"]);
    told = [];
    // The ttl came to us in whole seconds, later.
    vi.setSystemTime(at(10));
    store.snapshot([awarenessOf(ANN, { status: AWAY, timestamp: 9n }), custom(ANN, 20, { ttl: 41 })]);
    expect(told).toEqual(["bob dnd > unknown"]);
    expect([...store.all.keys()]).toEqual([ANN]);
    store.snapshot([awarenessOf(ANN, { status: AWAY }), awarenessOf(BOB, { status: OFFLINE })]);
    expect(told.slice(1)).toEqual(["ann away 20 > away", "bob unknown > offline"]);
  });

  it("knows nothing of what was for us alone", () => {
    store.snapshot([awarenessOf(ANN, { status: ONLINE })]);
    store.take([awarenessOf(ANN, { status: DND, ...toMe })]);
    store.snapshot([awarenessOf(ANN, { status: ONLINE })]);
    expect(told.slice(1)).toEqual(["ann online > dnd", "ann dnd > online"]);
  });

  it("tells of ourselves but a status: that we are there is known", () => {
    store.snapshot([custom(ME, 20)]);
    expect(store.get(ME)).toMatchObject({ status: "online", custom: { status: 20 } });
    store.take([awarenessOf(ME, { status: AWAY })]);
    store.snapshot([]);
    expect(store.get(ME)).toEqual({ eid: ME, status: "online", details: "" });
    expect(told).toEqual(["me unknown > online 20", "me online 20 > away 20", "me away 20 > online"]);
  });
});

describe("positions", () => {
  const stream = (eid: string, latitude: number, init: { altitude?: number; timestamp?: bigint } = {}) =>
    create(LocationStreamSchema, { from: { eid, connectionResourceId: "phone" }, latitude, timestamp: 5n, ...init });

  it("are kept with the presence, each told as it comes", () => {
    store.take([awarenessOf(ANN, { status: ONLINE })]);
    store.locate(stream(ANN, 10, { altitude: 3 }));
    expect(store.get(ANN)?.location).toEqual({ latitude: 10, longitude: 0, altitude: 3, at: new Date(5) });
    store.take([awarenessOf(ANN, { status: AWAY, locationSharing: 1, latitude: 11, longitude: 12, timestamp: 6n })]);
    expect(places).toEqual([
      { eid: ANN, device: "phone", latitude: 10, longitude: 0, altitude: 3, at: new Date(5) },
      { eid: ANN, device: "phone", latitude: 11, longitude: 12, at: new Date(6) },
    ]);
    expect(told).toEqual(["ann unknown > online", "ann online located > away located"]);
  });

  it("outlive a snapshot, which has none, but not their user's presence", () => {
    store.take([awarenessOf(ANN, { status: ONLINE }), awarenessOf(BOB, { status: ONLINE })]);
    store.locate(stream(ANN, 10));
    store.locate(stream(BOB, 10));
    store.snapshot([awarenessOf(ANN, { status: ONLINE }), awarenessOf(BOB, { status: OFFLINE })]);
    expect(told.slice(2)).toEqual(["bob online located > offline"]);
    expect(store.get(ANN)?.location?.latitude).toBe(10);
    store.take([awarenessOf(ANN, { status: OFFLINE })]);
    store.take([awarenessOf(ANN, { status: ONLINE })]);
    expect(store.get(ANN)?.location).toBeUndefined();
  });

  it("of somebody who is not known are told, not kept", () => {
    store.locate(stream(ANN, 10, { timestamp: 0n }));
    expect(places).toEqual([{ eid: ANN, device: "phone", latitude: 10, longitude: 0, at: START }]);
    expect(store.all.size).toBe(0);
  });
});
