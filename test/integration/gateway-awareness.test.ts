// The gateway's side of awareness over a real nats-server; what the awareness service would say is said by the test, late,
// twice, in the wrong order or not at all. Shows what a device is told. Cannot show that the real service tells the same.
import { setTimeout as delay } from "node:timers/promises";
import { SUBJECTS } from "@bimip/nats";
import {
  AwarenessVisibilitySchema,
  LocationStreamSchema,
  SessionClaimSchema,
  type SnapshotRequest,
} from "@bimip/protocol";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  awarenessOf,
  AwarenessStandIn,
  change,
  type GatewayAlone,
  startGatewayAlone,
} from "../kit/awareness-stand-in.js";
import type { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { contactBytes, askedBy, connectTo, flat, handedOn, snapshotsOf, told } from "../kit/told-awareness.js";

let kit: GatewayAlone;
let awareness: AwarenessStandIn;
beforeAll(async () => {
  kit = await startGatewayAlone();
  ({ awareness } = kit);
});
afterAll(() => kit.stop());
beforeEach(() => {
  awareness.answerAsEver();
});

const connect = (eid: string, name?: string): Promise<Device> => connectTo(kit, eid, name);
const handed = (device: Device): Promise<void> => handedOn(kit, device);
const asked = (eid: string): SnapshotRequest[] => askedBy(kit, eid);

describe("the snapshot", () => {
  test("is the first thing, even when empty; asked for at the registration's revision", async () => {
    const device = await kit.device("first@x", "phone");
    const body = await device.until("body");
    expect(body).toMatchObject({ route: 9n, awarenessList: [] });
    expect(body.timestamp).toBeGreaterThan(0n);
    const [event] = awareness.events.filter(({ eid }) => eid === "first@x");
    expect(event).toMatchObject({ device: "phone", node: "gateway-1", open: true });
    expect(event?.gateway).toMatch(/^[0-9a-f]{32}$/);
    expect(event?.address).not.toBe("");
    expect(asked("first@x").map(({ revision }) => Number(revision))).toEqual([awareness.revision]);
  });

  test("each page is a Body, the last one with route 9; the next is asked for at no lower revision; requests come behind", async () => {
    awareness.onSnapshot = async ({ after }) => ({
      revision: after === "" ? 500n : 510n,
      entries: (after === "" ? ["a@x", "b@x"] : ["c@x"]).map((eid) => ({ eid, awareness: awarenessOf(eid) })),
      next: after === "" ? "b@x" : "",
      requests: [contactBytes({ from: { eid: `asks after ${after}` }, trackingId: after, action: 1 })],
    });
    const device = await connect("paged@x");
    await device.count("awarenessContact", 2);
    expect(told(device)).toEqual([
      ["route 10", "a@x 1", "b@x 1"],
      ["route 9", "c@x 1"],
    ]);
    expect(asked("paged@x").map(({ after, revision }) => [after, revision > 0n ? revision : 0n])).toEqual([
      ["", expect.any(BigInt)],
      ["b@x", 500n],
    ]);
    const kinds = device.received.map(({ kind }) => kind).filter((kind) => kind !== "signal");
    expect(kinds).toEqual(["body", "awarenessContact", "body", "awarenessContact"]);
  });

  test("of more than 512 KiB is several Bodies, the last one with route 9", async () => {
    const details = "x".repeat(1_000);
    const eids = Array.from({ length: 1_200 }, (_, n) => `many${n}@x`);
    awareness.onSnapshot = async ({ after }) => {
      const from = Number(after);
      const entries = eids.slice(from, from + 400).map((eid) => ({ eid, awareness: awarenessOf(eid, { details }) }));
      return { revision: 500n, entries, next: from + 400 < eids.length ? String(from + 400) : "" };
    };
    const device = await connect("large@x");
    await eventually("all came", () => flat(device).length === eids.length);
    expect(device.of("body").map(({ route }) => Number(route))).toEqual([10, 10, 9]);
    expect(flat(device)).toEqual(eids.map((eid) => `${eid} 1`));
    for (const { kind, value } of device.received) {
      if (kind === "body") expect(value.awarenessList.length).toBeLessThanOrEqual(512);
    }
  });

  test("comes when awareness is back that was away at the connect; messages flow meanwhile", async () => {
    await awareness.away();
    const device = await kit.device("early@x", "phone");
    await device.messageSent({ id: "m", to: { eid: "early-b@x" } });
    expect(told(device)).toEqual([]);
    await awareness.start();
    await device.until("body");
    expect(told(device)).toEqual([["route 9"]]);
  });

  test("answered late: what came meanwhile is told behind it, if it is not older", async () => {
    let answer: () => void = () => undefined;
    const asked = new Promise<void>((resolve) => {
      awareness.onSnapshot = async () => {
        resolve();
        await new Promise<void>((go) => {
          answer = go;
        });
        const entries = ["a@x", "b@x"].map((eid) => ({ eid, awareness: awarenessOf(eid) }));
        return { revision: 1_000n, entries };
      };
    });
    const device = await kit.device("late@x", "phone");
    await asked;
    await awareness.tellAll([
      change(["late@x"], "a@x", 999, { status: 3 }),
      change(["late@x"], "b@x", 1_001, { status: 4 }),
      change(["late@x"], "b@x", 1_002, { status: 5 }),
      change(["late@x"], "b@x", 1_003, { type: 2, status: 6 }),
      change(["late@x"], "c@x", 1_000, { status: 2 }),
      change(["late@x"], "d@x", 0, { to: { eid: "late@x" }, status: 3 }),
    ]);
    await handed(device);
    expect(told(device)).toEqual([]);
    answer();
    await eventually("all is told", () => told(device).length === 2);
    await handed(device);
    expect(told(device)).toEqual([
      ["route 9", "a@x 1", "b@x 1"],
      ["route 2", "b@x 5", "b@x 2/6", "c@x 2", "d@x 3"],
    ]);
  });

  test("an answer that comes after it was given up is not told; the next one is", async () => {
    let tries = 0;
    let isAnswered = false;
    awareness.onSnapshot = async () => {
      const isFirst = ++tries === 1;
      const eid = `try${tries}@x`;
      if (isFirst) await delay(2_300); // longer than it is waited for
      if (isFirst) isAnswered = true;
      return { revision: 2_000n, entries: [{ eid, awareness: awarenessOf(eid) }] };
    };
    const device = await connect("tries@x");
    await eventually("the late answer left", () => isAnswered);
    await handed(device);
    expect(told(device)).toEqual([["route 9", "try2@x 1"]]);
  });

  test("too much came while it was read: another one follows, at what was seen or later", async () => {
    const asked: number[] = [];
    awareness.onSnapshot = async ({ revision }) => {
      asked.push(Number(revision));
      if (asked.length === 1) {
        const changes = Array.from({ length: 400 }, (_, n) => change(["flood@x"], `f${n}@x`, 3_000 + n));
        await awareness.tellAll(changes);
        const [, session] = [0, await awareness.gatewayOf("flood@x")];
        await kit.link.nc.request(SUBJECTS.gatewayPing(session), "", { timeout: 5_000 });
      }
      return { revision: BigInt(Math.max(2_500, Number(revision))) };
    };
    const device = await connect("flood@x");
    await eventually("two snapshots", () => snapshotsOf(device).length === 2);
    expect(asked[1]).toBe(3_399);
    // Those that came when no more were kept wait again for a snapshot, or are told by it.
    expect(flat(device).length).toBeLessThan(400);
  });

  test("is read anew for a session that is registered again, at that revision; not for the claim of its own opening", async () => {
    const device = await kit.device("again@x", "phone");
    await device.until("body");
    const { sessionId = "" } = awareness.events.find(({ eid }) => eid === "again@x") ?? {};
    const claim = async (epoch: number): Promise<void> => {
      const bytes = toBinary(
        SessionClaimSchema,
        create(SessionClaimSchema, { device: "phone", sessionId, epoch: BigInt(epoch) }),
      );
      kit.link.nc.publish(SUBJECTS.claim("again@x"), bytes);
      await handed(device);
    };
    const opened = awareness.revision;
    await claim(opened);
    await claim(opened - 1);
    expect(asked("again@x")).toHaveLength(1);
    awareness.onSnapshot = async ({ revision }) => ({ revision });
    await claim(opened + 7);
    await eventually("a new snapshot", () => snapshotsOf(device).length === 2);
    expect(asked("again@x").map(({ revision }) => Number(revision))).toEqual([opened, opened + 7]);
    expect(device.of("error")).toEqual([]);
  });

  test("nothing is asked or told for a session that ended", async () => {
    await awareness.away();
    const device = await kit.device("gone@x", "phone");
    await device.close();
    await awareness.start();
    const after = await connect("after-gone@x");
    await handed(after);
    expect(asked("gone@x")).toEqual([]);
  });
});

describe("changes", () => {
  test("reach the devices of those named, not the one that made them", async () => {
    const [phone, laptop] = [await connect("own@x", "phone"), await connect("own@x", "laptop")];
    const other = await connect("friend@x", "phone");
    const base = awareness.revision + 100;
    await awareness.tell({
      ...change(["own@x", "friend@x", "nobody@x"], "own@x", base, { status: 3 }),
      notDevice: "phone",
    });
    await awareness.tell(change(["friend@x"], "stranger@x", base + 1, { status: 2 }));
    await eventually("all told", () => flat(other).length === 2 && flat(laptop).length === 1);
    await handed(phone);
    expect(flat(phone)).toEqual([]);
    expect(flat(laptop)).toEqual(["own@x 3"]);
    expect(flat(other)).toEqual(["own@x 3", "stranger@x 2"]);
  });

  test("of several devices of one name, the one of the user it is about is left out", async () => {
    const [own, friend] = [await connect("same-a@x", "tablet"), await connect("same-b@x", "tablet")];
    await awareness.tell({
      ...change(["same-a@x", "same-b@x"], "same-a@x", awareness.revision + 50),
      notDevice: "tablet",
    });
    await eventually("told", () => flat(friend).length === 1);
    await handed(own);
    expect(flat(own)).toEqual([]);
  });

  test("an older one after a newer one is dropped, for whom the newer one was; equal and unnumbered ones pass", async () => {
    const [one, two] = [await connect("order-a@x"), await connect("order-b@x")];
    const base = awareness.revision + 1_000;
    const both = ["order-a@x", "order-b@x"];
    await awareness.tell(change(["order-a@x"], "x@x", base + 5, { status: 5 }));
    await eventually("told", () => flat(one).length === 1);
    await awareness.tell(change(both, "x@x", base + 4, { status: 4 }));
    await awareness.tell(change(both, "x@x", base + 5, { status: 3 }));
    await awareness.tell(change(both, "x@x", 0, { status: 1 }));
    await awareness.tell(change(both, "y@x", base + 1, { status: 2 }));
    await awareness.tell(change(both, "y@x", 1, { status: 5 })); // older than their snapshots
    await eventually("told", () => flat(two).length === 4);
    await handed(one);
    expect(flat(one)).toEqual(["x@x 5", "x@x 3", "x@x 1", "y@x 2"]);
    expect(flat(two)).toEqual(["x@x 4", "x@x 3", "x@x 1", "y@x 2"]);
  });

  test("a presence and a status of type 2 do not make each other old, but OFFLINE and ONLINE end both", async () => {
    const device = await connect("types@x");
    const base = awareness.revision + 1_500;
    const [presence, status] = [
      { type: 1, status: 3 },
      { type: 2, status: 9 },
    ];
    await awareness.tell(change(["types@x"], "x@x", base + 5, status));
    await awareness.tell(change(["types@x"], "x@x", base + 4, presence)); // told late by another replica
    await awareness.tell(change(["types@x"], "x@x", base + 8, { type: 1, status: 2 }));
    await awareness.tell(change(["types@x"], "x@x", base + 7, status));
    await awareness.tell(change(["types@x"], "x@x", base + 9, presence));
    await awareness.tell(change(["types@x"], "x@x", base + 12, { type: 1, status: 1 }));
    await awareness.tell(change(["types@x"], "x@x", base + 11, status));
    await awareness.tell(change(["types@x"], "x@x", base + 12, status));
    await eventually("told", () => flat(device).length === 6);
    await handed(device);
    expect(flat(device)).toEqual(["x@x 2/9", "x@x 3", "x@x 2", "x@x 3", "x@x 1", "x@x 2/9"]);
  });

  test("that got lost on their way are made up for by new snapshots, the last one too", async () => {
    const device = await connect("hole@x");
    const base = awareness.revision + 5;
    const snapshots = (): number => device.of("body").filter(({ route }) => route === 9n).length;
    const tell = async (number: number, isRepeat = false): Promise<void> => {
      const said = { to: ["hole@x"], replica: "numbering", number: BigInt(number) };
      await awareness.tell(isRepeat ? said : { ...change(["hole@x"], "x@x", base), ...said });
    };
    await tell(1);
    await tell(2);
    await eventually("both came", () => flat(device).length === 2);
    expect(snapshots()).toBe(1);
    await tell(4);
    await eventually("a new snapshot", () => snapshots() === 2);
    await tell(4, true); // the number again: nothing was lost
    await tell(5);
    await tell(6, true);
    await eventually("another one", () => snapshots() === 3);
  });

  test("that leave together may come as one Body, never in another order; as_body is always one", async () => {
    const device = await connect("together@x");
    const base = awareness.revision + 2_000;
    const count = 200;
    await awareness.tellAll(
      Array.from({ length: count }, (_, n) => change(["together@x"], `t${n}@x`, base + n, { status: 1 + (n % 5) })),
    );
    await eventually("all came", () => flat(device).length === count);
    expect(flat(device)).toEqual(Array.from({ length: count }, (_, n) => `t${n}@x ${1 + (n % 5)}`));
    expect(device.of("body").length).toBeGreaterThan(1); // some came in one turn of the event loop
    for (const { route, awarenessList } of device.of("body").slice(1)) {
      expect([route, awarenessList.length > 1]).toEqual([2n, true]);
    }
    await awareness.tell({ ...change(["together@x"], "new@x", base + count), asBody: true });
    await eventually("it came", () => flat(device).length === count + 1);
    expect(told(device).at(-1)).toEqual(["route 2", "new@x 1"]);
  });

  test("contacts, visibility and positions are handed on as they are; an older position is dropped", async () => {
    const device = await connect("plain@x");
    const to = ["plain@x"];
    const location = (latitude: number, order: number, eid = "a@x", connectionResourceId = "phone") => ({
      to,
      eid,
      revision: BigInt(order),
      stanza: {
        case: "location" as const,
        value: toBinary(
          LocationStreamSchema,
          create(LocationStreamSchema, { latitude, from: { eid, connectionResourceId } }),
        ),
      },
    });
    const visibility = toBinary(AwarenessVisibilitySchema, create(AwarenessVisibilitySchema, { id: "v", type: 3 }));
    await awareness.tell(location(1, 7_000));
    await awareness.tell(location(2, 7_002));
    await awareness.tell(location(3, 7_001));
    await awareness.tell(location(4, 5, "b@x"));
    await awareness.tell(location(5, 5, "a@x", "tablet"));
    await awareness.tell({
      to,
      eid: "a@x",
      stanza: { case: "contact", value: contactBytes({ trackingId: "c", action: 2 }) },
    });
    await awareness.tell({ to, eid: "plain@x", stanza: { case: "visibility", value: visibility } });
    // A position has its own order: this is not older than it.
    await awareness.tell(change(to, "a@x", awareness.revision + 5));
    await eventually("all came", () => flat(device).length === 1);
    expect(device.of("locationStream").map(({ latitude }) => latitude)).toEqual([1, 2, 4, 5]);
    expect(device.of("awarenessContact").map(({ trackingId }) => trackingId)).toEqual(["c"]);
    expect(device.of("awarenessVisibility")).toMatchObject([{ id: "v", type: 3 }]);
  });

  test("a slow socket is told nothing live; when it reads again, a new snapshot is read, at what it missed or later", async () => {
    const device = await connect("slow@x");
    let revision = awareness.revision + 3_000;
    awareness.onSnapshot = async (request) => ({
      revision: request.revision,
      entries: [{ eid: "now@x", awareness: awarenessOf("now@x", { status: 4 }) }],
    });
    const details = "x".repeat(60_000);
    const before = await kit.metric("bimip_gateway_awareness_delivered_total");
    const sent = 600; // more than the kernel's buffers take
    device.socket.pause();
    for (let n = 0; n < sent; n++) await awareness.tell(change(["slow@x"], "busy@x", ++revision, { details }));
    const delivered = (await kit.metric("bimip_gateway_awareness_delivered_total")) - before;
    expect(delivered).toBeLessThan(sent);
    expect(asked("slow@x")).toHaveLength(1);
    device.socket.resume();
    await eventually("a new snapshot", () => snapshotsOf(device).length === 2);
    expect(told(device).at(-1)).toEqual(["route 9", "now@x 4"]);
    expect(Number(asked("slow@x")[1]?.revision)).toBe(revision);
    expect(flat(device).filter((line) => line.startsWith("busy"))).toHaveLength(delivered);
    expect(await kit.metric("bimip_gateway_snapshots_total", 'reason="slow"')).toBeGreaterThan(0);
    await awareness.tell(change(["slow@x"], "now@x", revision + 1, { status: 2 }));
    await eventually("live again", () => flat(device).at(-1) === "now@x 2");
  });

  test("a fan-out that cannot be read, or is about nobody here, does no harm", async () => {
    const device = await connect("harm@x");
    const gateway = await awareness.gatewayOf("harm@x");
    kit.link.nc.publish(SUBJECTS.fanout(gateway), Uint8Array.from([0xff, 0xff, 0xff]));
    await awareness.tell({ to: ["harm@x"], eid: "a@x" });
    await awareness.tell(change(["harm@x"], "a@x", awareness.revision + 9_000));
    await eventually("told", () => flat(device).length === 1);
  });
});
