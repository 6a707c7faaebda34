// Sessions of one device against each other, and against the end of their token.
import { issueToken } from "@bimip/auth";
import { SignalSchema } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { SECRET, startSystem, type System } from "../kit/system.js";

let system: System;
beforeAll(async () => {
  system = await startSystem({ gateways: 2 });
});
afterAll(() => system.stop());

test("40 times four connections of one device at once, on two gateways: exactly one is left, and it works", async () => {
  for (let round = 0; round < 40; round++) {
    const eid = `race${round}@x`;
    const devices = await Promise.all(
      [0, 1, 0, 1].map((gateway) => system.device(eid, "phone", { gateway, settle: false })),
    );
    const open = () => devices.filter((device) => device.closed === undefined);
    await eventually(
      () => `round ${round}: one left of ${open().length}`,
      () => open().length <= 1,
    );
    const [left] = open();
    expect(left).toBeDefined();
    for (const device of devices) if (device !== left) expect(device.closed?.code).toBe(4409);
    await left?.messageSent({ id: "alive", to: { eid } });
    await left?.settle();
    expect(open()).toEqual([left]);
  }
});

test("four connections of one device, one after the other on one gateway: the newest is left", async () => {
  for (let round = 0; round < 20; round++) {
    const devices: Device[] = [];
    for (let n = 0; n < 4; n++) devices.push(await system.device(`order${round}@x`, "phone", { settle: false }));
    const newest = devices.at(-1);
    await eventually(
      "the older ones are closed",
      () => devices.filter(({ closed }) => closed === undefined).length <= 1,
    );
    await newest?.settle();
    expect(devices.filter(({ closed }) => closed === undefined)).toEqual([newest]);
  }
});

test("a session ends with its token: 401, then close 4401", async () => {
  const token = await issueToken({ secret: SECRET, eid: "short@x", device: "phone", expiresInS: 1 });
  const device = await Device.open(system.urls[0] ?? "", { token });
  expect(await device.until("error")).toMatchObject({ code: 401 });
  expect((await device.closing()).code).toBe(4401);
});

test("a RESUME sent right after opening is answered with its id, whatever the automatic replay does", async () => {
  const alice = await system.device("early-a@x", "phone");
  for (let n = 0; n < 5; n++) await alice.messageSent({ id: `m${n}`, to: { eid: "early-b@x" } });
  const bob = await system.device("early-b@x", "phone", { settle: false });
  bob.send("signal", create(SignalSchema, { id: "mine", type: 1, status: 6, monotonicId: 1n }));
  await bob.until("signal", (signal) => signal.id === "mine" && signal.type === 2);
  await alice.messageSent({ id: "after", to: { eid: "early-b@x" } });
  await bob.until("message", (message) => message.id === "after");
});
