import { expect, test } from "vitest";
import { compareVersions, parseVersion, verifyNatsServer } from "./version.js";

test.each([
  ["nats-server: v2.15.1", "2.15.1"],
  ["nats-server: v2.14.0-RC.2\n", "2.14.0-RC.2"],
  ["nats-server: version 2.9", undefined],
  ["", undefined],
])("%j holds version %s", (text, version) => {
  expect(parseVersion(text)).toBe(version);
});

test("versions are ordered by number, and a pre-release comes before its release", () => {
  const shuffled = ["2.15.1", "2.9.25", "2.14.0", "2.14.0-RC.10", "2.14.0-RC.2", "10.0.0"];
  expect(shuffled.sort(compareVersions)).toEqual([
    "2.9.25",
    "2.14.0-RC.2",
    "2.14.0-RC.10",
    "2.14.0",
    "2.15.1",
    "10.0.0",
  ]);
});

test("a program that is not a nats-server is refused with what it says", async () => {
  await expect(verifyNatsServer(process.execPath)).rejects.toThrow(/is not a nats-server: it says "v\d+/);
});
