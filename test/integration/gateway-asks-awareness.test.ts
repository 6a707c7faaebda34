// What a gateway asks of awareness for its devices, over a real nats-server; the answers are the test's. Cannot show that the real
// service understands the same.
import {
  AwarenessContactSchema,
  AwarenessSchema,
  AwarenessVisibilitySchema,
  LocationStreamSchema,
} from "@bimip/protocol";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { AwarenessStandIn, type GatewayAlone, startGatewayAlone } from "../kit/awareness-stand-in.js";
import type { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { contactBytes, connectTo } from "../kit/told-awareness.js";

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
    awareness.onContact = async () => ({ contacts: [contactBytes({ trackingId: "t", action: 4 })] });
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
      const part = Array.from({ length: 3 }, (_, n) =>
        contactBytes({ trackingId, action, to: { eid: `c${from + n}@x` } }),
      );
      return from < 6
        ? { contacts: part, next: String(from + 3) }
        : { contacts: [contactBytes({ trackingId, action })] };
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
