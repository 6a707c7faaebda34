// Where a device goes on: the stored cursor, RESUME N, 0 and -1, acknowledgements, several devices and gateways.
import { type Message, type Signal, SignalSchema, SignalStatus, SignalType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { startSystem, type System } from "../kit/system.js";

const MANUAL = { query: "?resume=manual", settle: false } as const;
const EVERYTHING = -1n;
const STORED_CURSOR = 0n;

let system: System;
beforeAll(async () => {
  system = await startSystem({ gateways: 2 });
});
afterAll(() => system.stop());

const ids = (device: Device): string[] => device.of("message").map(({ id }) => id);
const names = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => `m${from + n}`);

/** Another user writes m0 … to this one; their indexes in this user's log. */
async function stored(to: string, count: number): Promise<bigint[]> {
  const sender = await system.device(`from-${to}`, "phone");
  const indexes: bigint[] = [];
  for (let n = 0; n < count; n++)
    indexes.push((await sender.messageSent({ id: `m${n}`, to: { eid: to } })).monotonicId);
  return indexes;
}

/** Sends RESUME and waits for its answer. */
async function resume(device: Device, after: bigint): Promise<Signal> {
  const id = `resume-${Math.random()}`;
  const { REQUEST: type } = SignalType;
  device.send("signal", create(SignalSchema, { id, type, status: SignalStatus.RESUME, monotonicId: after }));
  return device.until("signal", (signal) => signal.id === id);
}

/** Acknowledges; resolves when the gateway has it. */
async function acknowledge(device: Device, monotonicId: bigint, message?: Message): Promise<void> {
  const of = message === undefined ? {} : { id: message.id, to: { eid: message.from?.eid ?? "" } };
  const { REQUEST: type } = SignalType;
  device.send("signal", create(SignalSchema, { type, status: SignalStatus.DELIVERED, monotonicId, ...of }));
  await device.settle();
}

/** What a device gets when it connects. */
async function onConnect(eid: string, device: string, options: { gateway?: number } = {}): Promise<string[]> {
  const connection = await system.device(eid, device, options);
  const got = ids(connection);
  await connection.close();
  return got;
}

describe("where a device begins", () => {
  test("the first one at the beginning; a further one gets nothing until RESUME -1, then everything", async () => {
    const eid = "begin@x";
    await stored(eid, 5);
    const phone = await system.device(eid, "phone");
    expect(ids(phone)).toEqual(names(0, 5));
    await phone.messageSent({ id: "own", to: { eid: "elsewhere@x" } });

    const laptop = await system.device(eid, "laptop");
    await laptop.settle();
    expect(ids(laptop)).toEqual([]);
    await resume(laptop, EVERYTHING);
    expect(ids(laptop)).toEqual([...names(0, 5), "own"]);
    await (await system.device(`from-${eid}`, "tablet")).messageSent({ id: "live", to: { eid } });
    await laptop.until("message", ({ id }) => id === "live");
    expect(ids(laptop)).toEqual([...names(0, 5), "own", "live"]);
  });

  test("a device that never acknowledged gets everything again; a further one what came since it was new", async () => {
    const eid = "again@x";
    await stored(eid, 3);
    expect(await onConnect(eid, "phone")).toEqual(names(0, 3));
    expect(await onConnect(eid, "laptop")).toEqual([]);
    await (await system.device(`from-${eid}`, "tablet")).messageSent({ id: "m3", to: { eid } });
    expect(await onConnect(eid, "phone")).toEqual(names(0, 4));
    expect(await onConnect(eid, "laptop")).toEqual(["m3"]);
  });

  test("what it sent itself is not replayed, except with RESUME -1", async () => {
    const eid = "own@x";
    const phone = await system.device(eid, "phone");
    for (const id of ["own0", "own1"]) await phone.messageSent({ id, to: { eid: "own-b@x" } });
    await stored(eid, 1);
    await phone.messageSent({ id: "own2", to: { eid: "own-b@x" } });
    await phone.close();
    const back = await system.device(eid, "phone");
    expect(ids(back)).toEqual(["m0"]);
    back.received.length = 0;
    await resume(back, STORED_CURSOR);
    expect(ids(back)).toEqual(["m0"]);
    back.received.length = 0;
    await resume(back, EVERYTHING);
    expect(ids(back)).toEqual(["own0", "own1", "m0", "own2"]);
  });
});

describe("the cursor", () => {
  test.each([
    ["by a bare receipt", false],
    ["by a receipt for a message", true],
  ])("is moved %s: a reconnect brings exactly the rest", async (_how, withId) => {
    const eid = `cursor-${withId}@x`;
    await stored(eid, 10);
    const phone = await system.device(eid, "phone");
    const fourth = phone.of("message")[3] as Message;
    await acknowledge(phone, fourth.monotonicId, withId ? fourth : undefined);
    await phone.close();
    expect(await onConnect(eid, "phone")).toEqual(names(4, 10));
  });

  test("of a new device that began with RESUME -1 is at the beginning", async () => {
    const eid = "new@x";
    const indexes = await stored(eid, 4);
    await onConnect(eid, "phone");
    const laptop = await system.device(eid, "laptop", MANUAL);
    await resume(laptop, EVERYTHING);
    await acknowledge(laptop, indexes[1] as bigint);
    await laptop.close();
    expect(await onConnect(eid, "laptop")).toEqual(names(2, 4));
  });

  test("never goes back", async () => {
    const eid = "back@x";
    const indexes = await stored(eid, 6);
    const phone = await system.device(eid, "phone");
    await acknowledge(phone, indexes[4] as bigint);
    await acknowledge(phone, indexes[1] as bigint);
    await phone.close();
    const again = await system.device(eid, "phone");
    expect(ids(again)).toEqual(["m5"]);
    await acknowledge(again, indexes[0] as bigint);
    await again.close();
    expect(await onConnect(eid, "phone")).toEqual(["m5"]);
  });

  test("is clamped to what was handed over", async () => {
    const eid = "clamp@x";
    const indexes = await stored(eid, 4);
    const phone = await system.device(eid, "phone", MANUAL);
    await acknowledge(phone, indexes[3] as bigint);
    await phone.close();
    const again = await system.device(eid, "phone");
    expect(ids(again)).toEqual(names(0, 4));
    await acknowledge(again, (indexes[3] as bigint) + 1_000n);
    await again.close();
    await (await system.device(`from-${eid}`, "tablet")).messageSent({ id: "m4", to: { eid } });
    expect(await onConnect(eid, "phone")).toEqual(["m4"]);
  });

  test("is each device's own", async () => {
    const eid = "each@x";
    const phone = await system.device(eid, "phone");
    const laptop = await system.device(eid, "laptop");
    const indexes = await stored(eid, 4);
    await Promise.all([phone.count("message", 4), laptop.count("message", 4)]);
    await acknowledge(laptop, indexes[2] as bigint);
    await acknowledge(phone, indexes[0] as bigint);
    await Promise.all([phone.close(), laptop.close()]);
    expect(await onConnect(eid, "phone")).toEqual(names(1, 4));
    expect(await onConnect(eid, "laptop")).toEqual(names(3, 4));
  });

  test("on another gateway right after an acknowledgement: nothing is missing, soon exactly the rest comes", async () => {
    const eid = "hop@x";
    const indexes = await stored(eid, 8);
    const phone = await system.device(eid, "phone");
    await acknowledge(phone, indexes[4] as bigint);
    const hopped = ids(await system.device(eid, "phone", { gateway: 1 }));
    // The other gateway may not have heard of it yet: then some come again, never fewer.
    expect(hopped).toEqual(names(8 - hopped.length, 8));
    expect(hopped.length).toBeGreaterThanOrEqual(3);
    await eventually("the acknowledgement is stored", async () => {
      const got = await onConnect(eid, "phone", { gateway: 1 });
      return got.join() === names(5, 8).join();
    });
    const asked = await system.device(eid, "phone", { ...MANUAL, gateway: 1 });
    await resume(asked, indexes[6] as bigint);
    expect(ids(asked)).toEqual(["m7"]);
  });
});

describe("RESUME", () => {
  test("manual: nothing from the log before it, live-only stanzas come", async () => {
    const eid = "manual@x";
    const indexes = await stored(eid, 5);
    const phone = await system.device(eid, "phone", MANUAL);
    const friend = await system.device(`from-${eid}`, "tablet");
    await friend.messageSent({ id: "m5", to: { eid } });
    const { REQUEST: type } = SignalType;
    friend.send("signal", create(SignalSchema, { id: "typing", type, status: SignalStatus.TYPING, to: { eid } }));
    await phone.until("signal", ({ status }) => status === SignalStatus.TYPING);
    await phone.settle();
    expect(ids(phone)).toEqual([]);
    expect(phone.of("signal").filter(({ status }) => status === SignalStatus.RESUME)).toEqual([]);

    await resume(phone, indexes[1] as bigint);
    expect(ids(phone)).toEqual(names(2, 6));
    await friend.messageSent({ id: "m6", to: { eid } });
    await phone.until("message", ({ id }) => id === "m6");
    expect(ids(phone)).toEqual(names(2, 7));
  });

  test("in a live session restarts there: behind N, behind the stored cursor, from the beginning", async () => {
    const eid = "restart@x";
    const indexes = await stored(eid, 6);
    const phone = await system.device(eid, "phone");
    await acknowledge(phone, indexes[3] as bigint);
    for (const [after, expected] of [
      [indexes[4] as bigint, names(5, 6)],
      [STORED_CURSOR, names(4, 6)],
      [indexes[0] as bigint, names(1, 6)],
      [EVERYTHING, names(0, 6)],
      [indexes[5] as bigint, []],
    ] as const) {
      phone.received.length = 0;
      await resume(phone, after);
      expect(ids(phone)).toEqual(expected);
    }
    await (await system.device(`from-${eid}`, "tablet")).messageSent({ id: "m6", to: { eid } });
    await phone.until("message", ({ id }) => id === "m6");
    await phone.settle();
    expect(ids(phone)).toEqual(["m6"]);
  });

  test("is answered with the head, the oldest index, the log's epoch, and no details when nothing is lost", async () => {
    const eid = "answer@x";
    const before = Date.now() + 60_000;
    const indexes = await stored(eid, 3);
    const phone = await system.device(eid, "phone", { settle: false });
    const automatic = await phone.resumed();
    const asked = await resume(phone, indexes[1] as bigint);
    for (const answer of [automatic, asked]) {
      expect(answer).toMatchObject({ type: SignalType.RESPONSE, details: "", firstId: indexes[0] });
      expect(answer.monotonicId).toBe(indexes[2]);
      expect(answer.epoch).toBe(automatic.epoch);
    }
    expect(Number(automatic.epoch)).toBeGreaterThan(1_700_000_000_000);
    expect(Number(automatic.epoch)).toBeLessThan(before);
  });

  test("of an empty log: first_id 0, head 0", async () => {
    const phone = await system.device("empty@x", "phone", { settle: false });
    expect(await phone.resumed()).toMatchObject({ monotonicId: 0n, firstId: 0n, details: "" });
  });

  test("of another log's epoch comes back with type 3, before anything of this log", async () => {
    const eid = "other-log@x";
    const indexes = await stored(eid, 3);
    const phone = await system.device(eid, "phone", { query: "?resume=manual", settle: false });
    const { REQUEST, ERROR } = SignalType;
    const asked = { type: REQUEST, status: SignalStatus.RESUME, monotonicId: indexes[0] as bigint };
    phone.send("signal", create(SignalSchema, { ...asked, id: "old", epoch: 1n }));
    const refused = await phone.until("signal", ({ id }) => id === "old");
    expect(refused).toMatchObject({ type: ERROR, monotonicId: indexes[0], firstId: indexes[0] });
    expect(refused.details).toContain("another log");
    await phone.settle();
    expect(ids(phone)).toEqual([]);
    phone.send("signal", create(SignalSchema, { ...asked, id: "now", epoch: refused.epoch }));
    await phone.until("signal", ({ id }) => id === "now");
    expect(ids(phone)).toEqual(names(1, 3));
  });

  test("beyond the head comes back with type 3, and the session goes on as it was", async () => {
    const eid = "beyond@x";
    const indexes = await stored(eid, 2);
    const phone = await system.device(eid, "phone");
    const asked = (indexes[1] as bigint) + 1n;
    const answer = await resume(phone, asked);
    expect(answer).toMatchObject({ type: SignalType.ERROR, status: SignalStatus.RESUME, monotonicId: asked });
    expect(answer.details).toContain(String(indexes[1]));
    await (await system.device(`from-${eid}`, "tablet")).messageSent({ id: "m2", to: { eid } });
    await phone.until("message", ({ id }) => id === "m2");
    expect(ids(phone)).toEqual(names(0, 3));
  });
});
