// The gateway's side of awareness over a real nats-server; what the awareness service would say is said by the test, late,
// twice, in the wrong order or not at all. Shows what a device is told, and what the gateway asks. Cannot show that the real
// service asks and tells the same.
import { setTimeout as delay } from "node:timers/promises";
import { BUCKETS, SUBJECTS } from "@bimip/nats";
import {
  type Awareness,
  AwarenessContactSchema,
  AwarenessSchema,
  AwarenessVisibilitySchema,
  type Body,
  LocationStreamSchema,
  SessionClaimSchema,
  type SnapshotRequest,
  type Stanza,
} from "@bimip/protocol";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Kvm } from "@nats-io/kv";
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

/** What a device was told of others: `alice@x 3` is a type 1, `alice@x 2/6` a type 2; a Body is a list. */
function told(device: Device): (string | string[])[] {
  const one = ({ from, type, status }: Awareness): string => `${from?.eid} ${type === 1 ? "" : `${type}/`}${status}`;
  return device.received.flatMap(({ kind, value }: Stanza): (string | string[])[] => {
    if (kind === "awareness") return [one(value)];
    if (kind === "body") return [[`route ${value.route}`, ...value.awarenessList.map(one)]];
    return [];
  });
}

const flat = (device: Device): string[] =>
  told(device)
    .flat()
    .filter((line) => !line.startsWith("route"));
const snapshotsOf = (device: Device): Body[] => device.of("body").filter(({ route }) => route === 9n);

/** Connects, and waits for the first snapshot. */
async function connect(eid: string, name = "phone"): Promise<Device> {
  const device = await kit.device(eid, name);
  await device.until("body");
  return device;
}

/** Everything that the gateway was told before is handed on now. */
async function handedOn(device: Device): Promise<void> {
  await kit.link.nc.flush();
  const gateway = await awareness.gatewayOf(device.eid);
  await kit.link.nc.request(SUBJECTS.gatewayPing(gateway), "", { timeout: 5_000 });
  await device.settle();
  await device.settle();
}

const askedBy = (eid: string): SnapshotRequest[] => awareness.snapshots.filter((request) => request.eid === eid);

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
    expect(askedBy("first@x").map(({ revision }) => Number(revision))).toEqual([awareness.revision]);
  });

  test("each page is a Body, the last one with route 9; the next is asked for at no lower revision; requests come behind", async () => {
    awareness.onSnapshot = async ({ after }) => ({
      revision: after === "" ? 500n : 510n,
      entries: (after === "" ? ["a@x", "b@x"] : ["c@x"]).map((eid) => ({ eid, awareness: awarenessOf(eid) })),
      next: after === "" ? "b@x" : "",
      requests: [contact({ from: { eid: `asks after ${after}` }, trackingId: after, action: 1 })],
    });
    const device = await connect("paged@x");
    await device.count("awarenessContact", 2);
    expect(told(device)).toEqual([
      ["route 10", "a@x 1", "b@x 1"],
      ["route 9", "c@x 1"],
    ]);
    expect(askedBy("paged@x").map(({ after, revision }) => [after, revision > 0n ? revision : 0n])).toEqual([
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
    await handedOn(device);
    expect(told(device)).toEqual([]);
    answer();
    await eventually("all is told", () => told(device).length === 2);
    await handedOn(device);
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
    await handedOn(device);
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
      await handedOn(device);
    };
    const opened = awareness.revision;
    await claim(opened);
    await claim(opened - 1);
    expect(askedBy("again@x")).toHaveLength(1);
    awareness.onSnapshot = async ({ revision }) => ({ revision });
    await claim(opened + 7);
    await eventually("a new snapshot", () => snapshotsOf(device).length === 2);
    expect(askedBy("again@x").map(({ revision }) => Number(revision))).toEqual([opened, opened + 7]);
    expect(device.of("error")).toEqual([]);
  });

  test("nothing is asked or told for a session that ended", async () => {
    await awareness.away();
    const device = await kit.device("gone@x", "phone");
    await device.close();
    await awareness.start();
    const after = await connect("after-gone@x");
    await handedOn(after);
    expect(askedBy("gone@x")).toEqual([]);
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
    await handedOn(phone);
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
    await handedOn(own);
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
    await handedOn(one);
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
    await handedOn(device);
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
      stanza: { case: "contact", value: contact({ trackingId: "c", action: 2 }) },
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
    expect(askedBy("slow@x")).toHaveLength(1);
    device.socket.resume();
    await eventually("a new snapshot", () => snapshotsOf(device).length === 2);
    expect(told(device).at(-1)).toEqual(["route 9", "now@x 4"]);
    expect(Number(askedBy("slow@x")[1]?.revision)).toBe(revision);
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

describe("what a device says", () => {
  const state = (init: object): Uint8Array => toBinary(AwarenessSchema, create(AwarenessSchema, init));

  test("goes to awareness as it was sent; nothing is answered but a refusal", async () => {
    const device = await connect("says@x");
    device.awareness({ id: "s1", status: 3, details: "at lunch", ttl: 60 });
    const asked = await eventually("asked", () => awareness.states.find(({ eid }) => eid === "says@x"));
    expect(asked).toMatchObject({ device: "phone", node: "gateway-1" });
    expect(asked.sessionId).toBe(awareness.events.find(({ eid }) => eid === "says@x")?.sessionId);
    expect(new Uint8Array(asked.awareness)).toEqual(
      state({ id: "s1", type: 1, status: 3, details: "at lunch", ttl: 60 }),
    );
    awareness.onState = async () => ({ code: 422, details: "ttl: is too long" });
    device.awareness({ id: "s2", status: 3, ttl: 61 });
    expect(await device.refusal("s2")).toMatchObject({ code: 422, details: "awareness.ttl: is too long" });
    expect(device.of("error")).toHaveLength(1);
  });

  test("a flood is one question at a time, the newest of each kind wins, in their order", async () => {
    const device = await connect("flooding@x");
    let underWay = 0;
    let most = 0;
    const answers: (() => void)[] = [];
    awareness.onState = async () => {
      most = Math.max(most, ++underWay);
      await new Promise<void>((resolve) => answers.push(resolve));
      underWay--;
      return {};
    };
    const asked = (): number[] =>
      awareness.states
        .filter(({ eid }) => eid === "flooding@x")
        .map(({ awareness: bytes }) => fromBinary(AwarenessSchema, bytes).status);
    device.awareness({ status: 1 });
    await eventually("asked", () => answers.length === 1);
    device.awareness({ type: 2, status: 6 });
    for (let n = 0; n < 300; n++) device.awareness({ status: 1 + (n % 5), to: n % 2 === 0 ? {} : { eid: "" } });
    await device.settle();
    for (let n = 0; n < 4; n++) {
      await eventually("asked", () => answers.length === n + 1);
      answers[n]?.();
    }
    await eventually("answered", () => underWay === 0);
    expect(asked()).toEqual([1, 6, 1, 5]);
    expect(most).toBe(1);
  });

  test("to one user alone: all of them, in order, 64 at most wait", async () => {
    const device = await connect("directed@x");
    let answer: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      answer = resolve;
    });
    awareness.onState = async () => {
      await gate;
      return {};
    };
    for (let n = 0; n < 66; n++) device.awareness({ id: `d${n}`, status: 1, to: { eid: "friend@x" } });
    await device.count("error", 2);
    expect(device.of("error").map(({ id, code }) => [id, code])).toEqual([
      ["d64", 429],
      ["d65", 429],
    ]);
    answer();
    const asked = await eventually("all asked", () => {
      const mine = awareness.states.filter(({ eid }) => eid === "directed@x");
      return mine.length === 64 ? mine : undefined;
    });
    expect(asked.map(({ awareness: bytes }) => fromBinary(AwarenessSchema, bytes).id)).toEqual(
      Array.from({ length: 64 }, (_, n) => `d${n}`),
    );
    awareness.onState = async () => ({ code: 403, details: "to.eid: may not see you" });
    device.awareness({ id: "no", status: 1, to: { eid: "stranger@x" } });
    expect(await device.refusal("no")).toMatchObject({ code: 403, details: "awareness.to.eid: may not see you" });
  });

  test("waits for the registration, and is asked again until awareness answers", async () => {
    await awareness.away();
    const device = await kit.device("waits@x", "phone");
    device.awareness({ id: "w", status: 4 });
    device.contact({ trackingId: "t", action: 4, to: { eid: "friend@x" } });
    device.visibility(3, "v");
    await device.settle();
    awareness.onContact = async () => ({ contacts: [contact({ trackingId: "t", action: 4 })] });
    await awareness.start();
    await device.until("awarenessVisibility", ({ id }) => id === "v");
    await device.until("awarenessContact", ({ trackingId }) => trackingId === "t");
    await eventually("asked", () => awareness.states.some(({ eid }) => eid === "waits@x"));
    expect(device.of("error")).toEqual([]);
  });

  test("a status of type 2 goes to awareness though the device is gone meanwhile; a presence does not", async () => {
    await awareness.away();
    const device = await kit.device("leaves@x", "phone");
    device.awareness({ id: "l1", status: 4 });
    device.awareness({ id: "l2", type: 2, status: 8 });
    await device.settle();
    await device.close();
    await awareness.start();
    const asked = await eventually("asked", () => awareness.states.find(({ eid }) => eid === "leaves@x"));
    expect(fromBinary(AwarenessSchema, asked.awareness)).toMatchObject({ id: "l2", status: 8 });
  });

  test("that nobody answers for 10 s is refused with 503", async () => {
    const device = await connect("tired@x");
    await awareness.away();
    const startedAtMs = performance.now();
    device.awareness({ id: "a", status: 4 });
    device.contact({ trackingId: "c", action: 4, to: { eid: "friend@x" } });
    device.visibility(3, "v");
    device.location({ id: "l", latitude: 1 });
    await device.count("error", 3);
    expect(performance.now() - startedAtMs).toBeGreaterThan(8_000);
    expect(
      device
        .of("error")
        .map(({ id, code }) => `${code} ${id}`)
        .sort(),
    ).toEqual(["503 a", "503 c", "503 v"]);
    for (const { details } of device.of("error")) expect(details).toMatch(/try again$/);
    await awareness.start();
  });

  test("contacts: what is answered is told; a refusal names the stanza; LIST comes page by page", async () => {
    const device = await connect("lists@x");
    awareness.onContact = async ({ contact: bytes, after }) => {
      const { action, trackingId } = fromBinary(AwarenessContactSchema, bytes);
      if (action !== 9) return { code: 409, details: "to.eid: is blocked by you, unblock first" };
      const from = Number(after);
      const part = Array.from({ length: 3 }, (_, n) => contact({ trackingId, action, to: { eid: `c${from + n}@x` } }));
      return from < 6 ? { contacts: part, next: String(from + 3) } : { contacts: [contact({ trackingId, action })] };
    };
    device.contact({ trackingId: "list", action: 9 });
    const listed = await device.count("awarenessContact", 7);
    expect(listed.map(({ to }) => to?.eid)).toEqual([...[0, 1, 2, 3, 4, 5].map((n) => `c${n}@x`), undefined]);
    device.contact({ trackingId: "ask", action: 1, relationship: 2, to: { eid: "b@x" } });
    expect(await device.refusal("ask")).toMatchObject({
      code: 409,
      details: "awareness_contact.to.eid: is blocked by you, unblock first",
    });
    expect(awareness.contacts.filter(({ eid }) => eid === "lists@x").map(({ after }) => after)).toEqual([
      "",
      "3",
      "6",
      "",
    ]);
  });

  test("contacts and visibility go in their order, 64 at most wait", async () => {
    const device = await connect("orders@x");
    const order: string[] = [];
    let answer: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      answer = resolve;
    });
    awareness.onContact = async ({ contact: bytes }) => {
      order.push(fromBinary(AwarenessContactSchema, bytes).trackingId);
      await gate;
      return {};
    };
    awareness.onVisibility = async ({ id, type }) => {
      order.push(id);
      return { type };
    };
    const sent: string[] = [];
    for (let n = 0; n < 65; n++) {
      if (n % 2 === 0) sent.push(device.contact({ trackingId: `o${n}`, action: 4, to: { eid: "b@x" } }));
      else sent.push(device.visibility(2, `o${n}`));
    }
    expect(await device.refusal("o64")).toMatchObject({ code: 429 });
    answer();
    await eventually("all asked", () => order.length === 64);
    expect(order).toEqual(sent.slice(0, 64));
  });

  test("visibility is confirmed with the same id; a refusal is told", async () => {
    const device = await kit.device("hides@x", "phone", { name: "Hilda" });
    awareness.onVisibility = async ({ type }) => ({ type, timestamp: 77n });
    device.send("awarenessVisibility", create(AwarenessVisibilitySchema, { id: "v", type: 3, details: "because" }));
    expect(await device.until("awarenessVisibility")).toMatchObject({
      id: "v",
      from: { eid: "hides@x", connectionResourceId: "phone", node: "gateway-1" },
      type: 3,
      timestamp: 77n,
    });
    expect(awareness.visibilities.at(-1)).toMatchObject({
      id: "v",
      eid: "hides@x",
      deviceId: "phone",
      type: 3,
      displayName: "Hilda",
    });
    awareness.onVisibility = async () => ({ status: 409, message: "awareness_visibility.type: not now" });
    device.visibility(1, "w");
    expect(await device.refusal("w")).toMatchObject({ code: 409, details: "awareness_visibility.type: not now" });
  });

  test("positions: one in 100 ms at most, the newest, the last one in any case; a refusal is told", async () => {
    const device = await connect("moves@x");
    const came: { latitude: number; order: number; atMs: number }[] = [];
    awareness.onLocation = async ({ location, order }) => {
      const { latitude } = fromBinary(LocationStreamSchema, location);
      came.push({ latitude, order: Number(order), atMs: performance.now() });
      return {};
    };
    const beganAtMs = performance.now();
    let sent = 0;
    while (performance.now() - beganAtMs < 450) {
      device.location({ latitude: ++sent / 1_000 });
      await device.settle();
    }
    await eventually("the last one came", () => came.at(-1)?.latitude === sent / 1_000);
    const tookMs = performance.now() - beganAtMs;
    expect(came.length).toBeLessThanOrEqual(Math.ceil(tookMs / 100) + 1);
    expect(came.length).toBeGreaterThan(2);
    for (const [at, { order }] of came.entries()) if (at > 0) expect(order).toBeGreaterThan(came[at - 1]?.order ?? 0);
    expect(came[0]?.order).toBeGreaterThan(Date.now() - 60_000);
    awareness.onLocation = async () => ({ code: 403, details: "to.eid: is no contact" });
    device.location({ id: "no", latitude: 1, to: { eid: "stranger@x" } });
    expect(await device.refusal("no")).toMatchObject({ code: 403, details: "location_stream.to.eid: is no contact" });
  });
});

describe("what a gateway says of itself", () => {
  const lease = async (gateway: string): Promise<unknown> => {
    const entry = await (await new Kvm(kit.link.nc).open(BUCKETS.gateways)).get(gateway);
    return entry === null || entry.operation !== "PUT"
      ? undefined
      : { ...entry.json<object>(), revision: entry.revision };
  };

  test("it has a lease that it renews, and answers a ping with its node", async () => {
    await connect("lease@x");
    const gateway = await awareness.gatewayOf("lease@x");
    const first = (await lease(gateway)) as { node: string; revision: number };
    expect(first.node).toBe("gateway-1");
    await eventually("renewed", async () => ((await lease(gateway)) as { revision: number }).revision > first.revision);
    const pong = await kit.link.nc.request(SUBJECTS.gatewayPing(gateway), "", { timeout: 5_000 });
    expect(pong.string()).toBe("gateway-1");
  });

  test("swept: it says which sessions are open until it is answered; not those that ended, or were never registered", async () => {
    const gone = await connect("swept-gone@x");
    await connect("swept@x");
    await connect("swept@x", "laptop");
    const gateway = await awareness.gatewayOf("swept@x");
    awareness.onEvent = async (event) => {
      if (event.eid === "swept-new@x") throw new Error("not registered");
      return { epoch: BigInt(++awareness.revision) };
    };
    await kit.device("swept-new@x", "phone");
    let tries = 0;
    awareness.onHold = async () => {
      if (++tries > 2) return {};
      await gone.close();
      throw new Error("not this time");
    };
    awareness.holds.length = 0;
    await awareness.sweep(gateway);
    const answered = await eventually("answered", () => (tries > 2 ? awareness.holds.at(-1) : undefined), 30_000);
    expect(awareness.holds[0]).toMatchObject({ node: "gateway-1", gateway });
    const names = answered.sessions.map(({ eid, device }) => `${eid} ${device}`);
    expect(names).toContain("swept@x phone");
    expect(names).toContain("swept@x laptop");
    expect(names).not.toContain("swept-gone@x phone");
    expect(names).not.toContain("swept-new@x phone");
    const opened = awareness.events.find(({ eid, device }) => eid === "swept@x" && device === "laptop");
    const held = answered.sessions.find(({ eid, device }) => eid === "swept@x" && device === "laptop");
    expect(held).toMatchObject({
      sessionId: opened?.sessionId,
      timestamp: opened?.timestamp,
      address: opened?.address,
    });
  });

  test("an end is told until it is heard, at the time when it was", async () => {
    const device = await connect("ends@x");
    const ends = () => awareness.events.filter(({ eid, open }) => eid === "ends@x" && !open);
    const { sessionId } = awareness.events.find(({ eid }) => eid === "ends@x") ?? {};
    awareness.onEvent = async () => {
      throw new Error("not answered");
    };
    const endedAtMs = Date.now();
    await device.close();
    await eventually("told three times", () => ends().length === 3);
    let isHeard = false;
    awareness.onEvent = async () => {
      isHeard = true;
      return { epoch: BigInt(++awareness.revision) };
    };
    await eventually("heard", () => isHeard);
    for (const end of ends()) {
      expect(end.sessionId).toBe(sessionId);
      expect(Math.abs(Number(end.timestamp) - endedAtMs)).toBeLessThan(1_000);
    }
  });
});

test("NATS restarts: the lease is renewed, open sessions are told, each gets a new snapshot with what it missed", async () => {
  const own = await startGatewayAlone();
  try {
    const device = await own.device("back@x", "phone");
    await device.until("body");
    own.awareness.onSnapshot = async () => ({
      revision: 5_000n,
      entries: [{ eid: "a@x", awareness: awarenessOf("a@x", { status: 2 }) }],
      requests: [contact({ trackingId: "asks", action: 1 })],
    });
    own.awareness.holds.length = 0;
    await own.nats.kill("SIGKILL");
    device.awareness({ id: "while away", status: 3 });
    await own.nats.restart();
    await eventually("a new snapshot", () => snapshotsOf(device).length === 2);
    expect(snapshotsOf(device)[1]?.awarenessList).toMatchObject([{ from: { eid: "a@x" }, status: 2 }]);
    expect(await device.until("awarenessContact")).toMatchObject({ trackingId: "asks" });
    const held = await eventually("held", () => own.awareness.holds.flatMap(({ sessions }) => sessions)[0]);
    expect(held).toMatchObject({ eid: "back@x", device: "phone" });
    await eventually("what was said meanwhile", () => own.awareness.states.length > 0);
    expect(device.of("error")).toEqual([]);
    const bucket = await new Kvm(own.link.nc).open(BUCKETS.gateways);
    const gateway = await own.awareness.gatewayOf("back@x");
    const before = (await bucket.get(gateway))?.revision ?? 0;
    await eventually("renewed", async () => ((await bucket.get(gateway))?.revision ?? 0) > before);
  } finally {
    await own.stop();
  }
});

test("awareness lost what it kept: sessions get a new snapshot, and hear of changes though their revisions are low", async () => {
  const own = await startGatewayAlone();
  try {
    own.awareness.revision = 90_000;
    const [one, other] = [await own.device("lost-a@x", "phone"), await own.device("lost-b@x", "phone")];
    await Promise.all([one.until("body"), other.until("body")]);
    await own.awareness.tell(change(["lost-a@x", "lost-b@x"], "a@x", 95_000, { status: 3 }));
    await eventually("told", () => flat(one).length === 1 && flat(other).length === 1);
    own.awareness.revision = 4;
    const { sessionId = "" } = own.awareness.events.find(({ eid }) => eid === "lost-a@x") ?? {};
    const init = { device: "phone", sessionId, epoch: 95_001n };
    own.link.nc.publish(SUBJECTS.claim("lost-a@x"), toBinary(SessionClaimSchema, create(SessionClaimSchema, init)));
    await eventually("new snapshots", () => snapshotsOf(one).length >= 2 && snapshotsOf(other).length === 2);
    await own.awareness.tell(change(["lost-a@x", "lost-b@x"], "a@x", 5, { status: 4 }));
    await eventually("told", () => flat(one).length === 2 && flat(other).length === 2);
    expect([flat(one), flat(other)]).toEqual([
      ["a@x 3", "a@x 4"],
      ["a@x 3", "a@x 4"],
    ]);
  } finally {
    await own.stop();
  }
});

test("the stop tells that all sessions ended, then takes the lease away", async () => {
  const own = await startGatewayAlone();
  try {
    await own.device("last@x", "phone");
    const gateway = await own.awareness.gatewayOf("last@x");
    const order: string[] = [];
    const bucket = await new Kvm(own.link.nc).open(BUCKETS.gateways);
    const watch = await bucket.watch({ key: gateway });
    void (async () => {
      for await (const { operation } of watch) if (operation === "DEL") order.push("lease gone");
    })();
    own.awareness.onEvent = async ({ open }) => {
      await delay(300);
      if (!open) order.push("end told");
      return { epoch: 99n };
    };
    await own.stopGateway();
    await eventually("both", () => order.length === 2);
    expect(order).toEqual(["end told", "lease gone"]);
  } finally {
    await own.stop();
  }
});

test("the stop ends while NATS is away", async () => {
  const own = await startGatewayAlone();
  const device = await own.device("stuck@x", "phone");
  await device.until("body");
  await own.nats.kill("SIGKILL");
  const beganAtMs = performance.now();
  await own.stopGateway();
  expect(performance.now() - beganAtMs).toBeLessThan(14_000);
  await own.nats.restart();
  await own.stop();
});

function contact(init: Parameters<typeof create<typeof AwarenessContactSchema>>[1]): Uint8Array {
  return toBinary(AwarenessContactSchema, create(AwarenessContactSchema, init));
}
