// Each kind of bad input gets its documented error, and the session lives on, except where the spec closes it.
import { randomBytes } from "node:crypto";
import { encodeStanza, MessageSchema, SignalSchema, SignalStatus, TokenAuthoritySchema } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Device } from "../kit/device.js";
import { startSystem, type System } from "../kit/system.js";

let system: System;
beforeAll(async () => {
  system = await startSystem({ gateways: 1, env: { BIMIP_AUTH_TIMEOUT_MS: "300" } });
});
afterAll(() => system.stop());

let devices = 0;
const connect = () => system.device("errors@x", `device${devices++}`);
const good = create(MessageSchema, {
  id: "good",
  to: { eid: "friend@x" },
  type: "text",
  payload: { data: { text: "hi" } },
});

function withBadUtf8(): Uint8Array {
  const bytes = encodeStanza(
    "message",
    create(MessageSchema, { id: "good", to: { eid: "friend@x" }, payload: { data: { text: "XYZ" } } }),
  );
  const at = Buffer.from(bytes).indexOf("XYZ");
  bytes.set([0xff, 0xc0, 0x80], at);
  return bytes;
}

test.each<[string, Uint8Array | string, number, RegExp]>([
  ["bytes that do not parse", Uint8Array.from([0xff, 0xff, 0xff]), 400, /./],
  ["random bytes", Uint8Array.from([0x32, 0x7f, 1, 2]), 400, /./],
  ["an empty frame", new Uint8Array(0), 400, /payload/],
  ["a stanza without a payload", Uint8Array.from([0x08, 0x06]), 400, /payload/],
  ["invalid UTF-8", withBadUtf8(), 400, /UTF-8/i],
  [
    "a stanza over 64 KiB",
    encodeStanza("message", create(MessageSchema, { ...good, type: "x".repeat(70_000) })),
    413,
    /65536|64 KiB/,
  ],
  ["a message without an id", encodeStanza("message", create(MessageSchema, { ...good, id: "" })), 422, /message\.id/],
  ["a message without a recipient", encodeStanza("message", create(MessageSchema, { id: "good" })), 422, /message\.to/],
  [
    "a message to nobody",
    encodeStanza("message", create(MessageSchema, { id: "good", to: {} })),
    422,
    /message\.to\.eid/,
  ],
  [
    "another's EID in from",
    encodeStanza("message", create(MessageSchema, { id: "good", to: { eid: "friend@x" }, from: { eid: "other@x" } })),
    403,
    /^message\.from\.eid: /,
  ],
  [
    "another's EID in from of a receipt",
    encodeStanza(
      "signal",
      create(SignalSchema, { from: { eid: "other@x" }, type: 1, status: SignalStatus.READ, monotonicId: 1n }),
    ),
    403,
    /^signal\.from\.eid: /,
  ],
])("%s: the documented error, and the session lives on", async (_what, bytes, code, details) => {
  const device = await connect();
  if (typeof bytes === "string") device.socket.send(bytes);
  else device.sendBytes(bytes);
  const error = await device.until("error");
  expect(error.code).toBe(code);
  expect(error.details).toMatch(details);
  expect(error.timestamp).toBeGreaterThan(0n);
  await device.messageSent({ id: "after", to: { eid: "friend@x" } });
  expect(device.of("error")).toHaveLength(1);
});

test("nothing of a spoofed message is routed", async () => {
  const friend = await system.device("spoofed@x", "phone");
  const device = await connect();
  device.message({ id: "spoof", from: { eid: "other@x" }, to: { eid: "spoofed@x" } });
  expect(await device.until("error")).toMatchObject({ code: 403, id: "spoof" });
  await device.messageSent({ id: "honest", from: { eid: "errors@x" }, to: { eid: "spoofed@x" } });
  expect((await friend.count("message", 1)).map(({ id }) => id)).toEqual(["honest"]);
});

test("more bytes without SENT than one session may have: 429, and 503 behind it, until that message comes again", async () => {
  const other = await startSystem({ env: { BIMIP_MAX_PENDING_BYTES_PER_SESSION: "1048576" } });
  const device = await other.device("heavy@x", "phone");
  const friend = await other.device("friend@x", "phone");
  await device.messageSent({ id: "first", to: { eid: "friend@x" } });
  const send = (n: number) =>
    device.message({ id: `m${n}`, to: { eid: "friend@x" }, payload: { data: { text: "x".repeat(60_000) } } });
  const numbers = Array.from({ length: 20 }, (_, n) => n);
  await other.nats.kill("SIGSTOP");
  for (const n of numbers) send(n);
  await device.settle();
  expect(device.of("error").map(({ id, code }) => [id, code])).toEqual([
    ["m17", 429],
    ["m18", 503],
    ["m19", 503],
  ]);
  expect(device.of("error")[0]?.details).toMatch(/1048576 bytes .* try again in 1 s/);
  await other.nats.kill("SIGCONT");
  await device.sent("m16", "friend@x");
  for (const n of numbers.slice(17)) send(n);
  await device.sent("m19", "friend@x");
  await friend.count("message", 21);
  expect(friend.of("message").map(({ id }) => id)).toEqual(["first", ...numbers.map((n) => `m${n}`)]);
  await other.stop();
});

test("a text frame is answered like any bytes that do not parse", async () => {
  const device = await connect();
  device.socket.send("hello");
  expect(await device.until("error")).toMatchObject({ code: 400 });
  await device.settle();
});

test("2,000 random frames: an error each, one session", async () => {
  const device = await connect();
  for (let n = 0; n < 2_000; n++) device.sendBytes(randomBytes(1 + (n % 200)));
  await device.settle();
  expect(device.closed).toBeUndefined();
  await device.messageSent({ id: "still", to: { eid: "friend@x" } });
});

test("a frame over 1 MiB is cut by the transport", async () => {
  const device = await connect();
  device.sendBytes(new Uint8Array(1_100_000));
  expect((await device.closing()).code).toBe(1006);
});

test("a stanza that is not built yet is answered with 501", async () => {
  const device = await connect();
  const { EventSchema } = await import("@bimip/protocol");
  device.send("event", create(EventSchema, { id: "e", to: { eid: "bob@x" }, type: "call.offer" }));
  expect(await device.until("error")).toMatchObject({ code: 501, id: "e" });
  await device.settle();
});

test("PingPong is answered with type 2 and the same id", async () => {
  const device = await connect();
  await device.settle("my ping");
  expect(device.of("pingPong")).toMatchObject([{ id: "my ping", type: 2 }]);
});

const url = () => system.urls[0] ?? "";

test("a token in the subprotocol and in the query opens the session too", async () => {
  const token = await system.token("ways@x", "query");
  const device = await Device.open(url(), { query: `?access_token=${token}` });
  await device.resumed();
  await device.close();
});

test("a bad token is refused with HTTP 401 before the upgrade", async () => {
  await expect(Device.open(url(), { token: "nonsense" })).rejects.toMatchObject({ status: 401 });
});

test("first frame: a good token opens the session", async () => {
  const device = await Device.open(url());
  device.send(
    "tokenAuthority",
    create(TokenAuthoritySchema, { id: "t", token: await system.token("first@x", "browser"), task: 4, type: 1 }),
  );
  expect(await device.until("tokenAuthority")).toMatchObject({
    type: 2,
    task: 4,
    id: "t",
    to: { eid: "first@x", connectionResourceId: "browser" },
  });
  await device.resumed();
  await device.messageSent({ id: "m", to: { eid: "friend@x" } });
});

test("first frame: a bad token is answered with 401, then close 4401", async () => {
  const device = await Device.open(url());
  device.send("tokenAuthority", create(TokenAuthoritySchema, { token: "bad", task: 4, type: 1 }));
  expect(await device.until("error")).toMatchObject({ code: 401 });
  expect((await device.closing()).code).toBe(4401);
});

test("first frame: anything else is answered with 401, then close 4401", async () => {
  const device = await Device.open(url());
  device.message({ id: "early", to: { eid: "friend@x" } });
  expect(await device.until("error")).toMatchObject({ code: 401 });
  expect((await device.closing()).code).toBe(4401);
});

test("first frame: none within the time: 408, then close 4401", async () => {
  const device = await Device.open(url());
  expect(await device.until("error")).toMatchObject({ code: 408 });
  expect((await device.closing()).code).toBe(4401);
});
