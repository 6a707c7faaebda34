// A user who was away while 5,000 messages came, and comes back while more do.
import { SignalSchema, SignalStatus, SignalType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Device } from "../kit/device.js";
import { startSystem, type System } from "../kit/system.js";

const BOB = "absent@x";
const STORED = 5_000;
const LIVE = 500;
const ACKNOWLEDGED = 3_000;

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.stop());

const ids = (device: Device): string[] => device.of("message").map(({ id }) => id);
const sentBy = (device: Device): number =>
  device.of("signal").filter(({ status }) => status === SignalStatus.SENT).length;

test("5,000 stored arrive in order while 500 more come; then exactly the unacknowledged rest; then all with -1", async () => {
  const expected = Array.from({ length: STORED + LIVE }, (_, n) => `m${n}`);
  // A machine: its own log is of no interest here.
  const sender = await system.device("sender@x", "machine", { scope: "no-copy" });
  const send = async (from: number, to: number): Promise<void> => {
    for (let n = from; n < to; n++) {
      sender.message({ id: `m${n}`, to: { eid: BOB } });
      if (n % 500 === 499) await sender.count("signal", n + 2 - 499); // below the limit of what may wait for SENT
    }
    await sender.count("signal", to + 1); // SENT each, and RESUME
  };
  await send(0, STORED);
  expect(sentBy(sender)).toBe(STORED);

  const live = send(STORED, STORED + LIVE);
  const phone = await system.device(BOB, "phone", { settle: false });
  await live;
  await phone.count("message", STORED + LIVE);
  await phone.settle();
  expect(ids(phone)).toEqual(expected);

  const monotonicId = phone.of("message")[ACKNOWLEDGED - 1]?.monotonicId ?? 0n;
  const { REQUEST: type } = SignalType;
  phone.send("signal", create(SignalSchema, { type, status: SignalStatus.DELIVERED, monotonicId }));
  await phone.settle();
  await phone.close();
  const back = await system.device(BOB, "phone");
  expect(ids(back)).toEqual(expected.slice(ACKNOWLEDGED));

  const laptop = await system.device(BOB, "laptop");
  await laptop.settle();
  expect(ids(laptop)).toEqual([]);
  laptop.send("signal", create(SignalSchema, { id: "all", type, status: SignalStatus.RESUME, monotonicId: -1n }));
  await laptop.until("signal", ({ id }) => id === "all");
  expect(ids(laptop)).toEqual(expected);
});
