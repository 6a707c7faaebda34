import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type DeviceReached,
  decodeRecord,
  emptyRecord,
  encodeRecord,
  highestKnown,
  MAX_DEVICES,
  mergeDevice,
  moveToEpoch,
  registerDevice,
  type UserRecord,
} from "./user-record.js";

const index = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const reached: fc.Arbitrary<DeviceReached> = fc.record({
  device: fc.constantFrom("phone", "tablet", "__proto__", "constructor"),
  cursor: index,
  handed: index,
  read: index,
  lastSeenMs: index,
});

function withDevices(...names: string[]): UserRecord {
  const record = emptyRecord();
  moveToEpoch(record, 1);
  for (const name of names) registerDevice(record, name, 0, 5);
  return record;
}

test("merging is a maximum: in any order, however often", () => {
  fc.assert(
    fc.property(fc.array(reached, { maxLength: 20 }), fc.array(fc.nat(), { maxLength: 40 }), (all, order) => {
      const names = ["phone", "tablet", "__proto__", "constructor"];
      const once = withDevices(...names);
      for (const one of all) mergeDevice(once, one, 0);
      const shuffled = withDevices(...names);
      const again = [...all.toReversed(), ...order.flatMap((n) => all[n % Math.max(all.length, 1)] ?? [])];
      for (const one of again) mergeDevice(shuffled, one, 0);
      expect(shuffled).toEqual(once);
      expect(once.acked).toBe(Math.max(0, ...all.map(({ cursor }) => cursor)));
    }),
  );
});

test("what is stored is read again as it was, whatever devices are called", () => {
  fc.assert(
    fc.property(fc.array(reached, { maxLength: 5 }), fc.array(fc.string(), { maxLength: 5 }), (all, names) => {
      const record = withDevices(...names);
      for (const one of all) mergeDevice(record, one, 0);
      const { bytes, forgotten } = encodeRecord(record);
      expect(forgotten).toEqual([]);
      const read = decodeRecord(bytes);
      expect({ ...read, devices: [...read.devices] }).toEqual({ ...record, devices: [...record.devices] });
    }),
  );
});

test("in a recreated log everything begins at 0, devices are still known by the epoch that they saw last", () => {
  const record = withDevices("phone", "tablet");
  mergeDevice(record, { device: "phone", cursor: 9, handed: 12, read: 7, lastSeenMs: 6 }, 9);
  expect(highestKnown(record)).toBe(12);
  moveToEpoch(record, 2);
  expect(record).toMatchObject({ epoch: 2, acked: 0, read: 0, pushed: 0, trimmedTo: 0 });
  expect(record.devices.get("phone")).toMatchObject({ cursor: 0, handed: 0, epoch: 1, lastSeenMs: 6 });
  expect(highestKnown(record)).toBe(0);
  mergeDevice(record, { device: "phone", cursor: 3, handed: 3, read: 0, lastSeenMs: 7 }, 9);
  expect(record.devices.get("phone")?.epoch).toBe(2);
  expect(record.devices.get("tablet")?.epoch).toBe(1);
});

test("too many devices: the longest unseen are forgotten", () => {
  const record = withDevices();
  for (let n = 0; n < MAX_DEVICES + 3; n++) registerDevice(record, `d${n}`, 0, n === 500 ? 0 : n + 1);
  expect(encodeRecord(record).forgotten).toEqual(["d500", "d0", "d1"]);
  expect(record.devices.size).toBe(MAX_DEVICES);
});

test("too many bytes for nats-server: the longest unseen are forgotten", () => {
  const record = withDevices();
  for (let n = 0; n < 300; n++) registerDevice(record, `d${n}`, 0, n).subscription = "x".repeat(4_096);
  const { bytes, forgotten } = encodeRecord(record);
  expect(bytes.length).toBeLessThan(1_000_000);
  expect(bytes.length).toBeGreaterThan(700_000);
  expect(forgotten[0]).toBe("d0");
  expect(record.devices.has("d299")).toBe(true);
});
