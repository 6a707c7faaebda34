// Hostile but valid names work, and never receive what is meant for another.
import { afterAll, beforeAll, expect, test } from "vitest";
import { HttpRefusal } from "../kit/device.js";
import { startSystem, type System } from "../kit/system.js";

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.stop());

const NAMES = [
  "a.b",
  "a_b",
  "a*b",
  "a",
  "b",
  "ab",
  "A",
  ">",
  "*",
  "a.*",
  "a.>",
  "$SYS",
  "$JS.API.>",
  "_INBOX.x",
  "a b",
  " a",
  "a ",
  "ünïcode@x",
  "a_2Eb",
  "日本",
  "👩‍👩‍👧",
  "\u00a0",
  "\u202ertl",
  "%41",
  "a/b",
  "a\\b",
  "..",
  ".",
  "-",
  "null",
  "__proto__",
  "constructor",
  "a".repeat(255),
  "é".repeat(127),
];

test("each name gets what was sent to it and nothing else, as EID and as device", async () => {
  const device = (name: string) => (Buffer.byteLength(name) > 128 ? "long" : name);
  const devices = await Promise.all(NAMES.map((name) => system.device(name, device(name))));
  const sender = await system.device("sender@x", "phone");
  const watcher = await system.device("sender@x", "watcher");
  for (const [at, name] of NAMES.entries()) {
    await sender.messageSent({ id: `message ${at}`, to: { eid: name }, payload: { data: { for: name } } });
  }
  for (const [at, name] of NAMES.entries()) {
    const got = devices[at];
    await got?.count("message", 1);
    await got?.settle();
    expect(got?.of("message").map((message) => message.payload?.data["for"])).toEqual([name]);
  }
  expect((await watcher.count("message", NAMES.length)).map((message) => message.to?.eid)).toEqual(NAMES);

  for (const [at, name] of NAMES.entries()) {
    await devices[at]?.messageSent({ id: "reply", to: { eid: "sender@x", connectionResourceId: "watcher" } });
    const reply = await watcher.until("message", (message) => message.id === "reply" && message.from?.eid === name);
    expect(reply.from?.connectionResourceId).toBe(device(name));
  }
});

test.each([
  ["an EID of 256 bytes", "a".repeat(256), "phone"],
  ["an EID of 256 bytes in fewer characters", "é".repeat(128), "phone"],
  ["a control character in the EID", "a\nb", "phone"],
  ["NUL in the EID", "a\0", "phone"],
  ["DEL in the EID", "a\x7f", "phone"],
  ["C1 in the EID", "a\x85", "phone"],
  ["a control character in the device", "a", "pho\tne"],
  ["a device of 129 bytes", "a", "d".repeat(129)],
])("a token with %s is refused with 401", async (_what, eid, device) => {
  const refusal = await system.device(eid, device).catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(HttpRefusal);
  expect(refusal).toMatchObject({ status: 401 });
});

test.each([
  ["256 bytes", "a".repeat(256)],
  ["a control character", "a\nb"],
  ["NUL", "\0"],
  ["a C1 control", "\u0085"],
])("a message to an EID with %s is answered with 422 naming the field", async (_what, eid) => {
  const device = await system.device("strict@x", `d${Math.random()}`);
  device.message({ id: "bad", to: { eid } });
  const error = await device.until("error");
  expect(error).toMatchObject({ code: 422, id: "bad", errorOrigin: 1 });
  expect(error.details).toContain("message.to.eid");
  await device.settle();
});
