// Whatever is refused for the sake of security leaves one structured event: why, with which code, who, from where. A flood leaves a
// handful. Cannot show: that somebody reads them.
import { issueToken } from "@bimip/auth";
import {
  encodeStanza,
  LogoutSchema,
  MessageSchema,
  PingPongSchema,
  PushNotificationSchema,
  TokenAuthoritySchema,
  TokenTask,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { frameOf } from "../fuzz/raw-socket.js";
import type { Device } from "../kit/device.js";
import { type AuditLine, type DoorSystem, startDoor } from "../kit/door.js";
import { eventually } from "../kit/eventually.js";
import type { Headers } from "../kit/raw-http.js";
import { SECRET } from "../kit/system.js";
import { askToken, revoke } from "../kit/tokens.js";

const FLOOD = 10_000;

let door: DoorSystem;
beforeAll(async () => {
  door = await startDoor({
    BIMIP_ALLOWED_ORIGINS: "https://good.example",
    BIMIP_MAX_CONNECTIONS_PER_USER: "2",
    BIMIP_MAX_CONNECTIONS_PER_ADDRESS: "12",
    BIMIP_MAX_UNAUTHENTICATED_PER_ADDRESS: "2",
    BIMIP_RATE_CONNECTS: "0.001/100",
    BIMIP_TRUSTED_PROXIES: "127.0.0.1",
    BIMIP_CLIENT_ADDRESS: "x-forwarded-for",
    BIMIP_RATE_MESSAGES: "1/10",
    BIMIP_ABUSE_REFUSALS: "50",
    BIMIP_ABUSE_WINDOW_S: "5",
    BIMIP_AUTH_TIMEOUT_MS: "300",
    BIMIP_MAX_STANZA_BYTES: "2000",
  });
});
afterAll(() => door.system.stop());

/** One address per test: what is refused to one for the same reason within a second is one event. */
let host = 10;
let from: string;
beforeEach(() => {
  from = `198.51.100.${host++}`;
});
const via = (...more: Headers): Headers => [["X-Forwarded-For", from], ...more];

/** The event with this text; there is one, and it is complete. */
async function event(wanted: Partial<AuditLine>): Promise<AuditLine> {
  const [found, ...more] = await eventually("an event", () => {
    const fitting = door.audited.filter((line) => {
      const { details = "", ...rest } = wanted;
      return (
        line.details.includes(details) && Object.entries(rest).every(([key, value]) => line[key as "eid"] === value)
      );
    });
    return fitting.length > 0 ? fitting : undefined;
  });
  // Those to come would say how often it was repeated.
  expect(more.filter((line) => !("repeats" in line))).toEqual([]);
  expect(Object.keys(found ?? {}).filter((key) => key !== "repeats")).toEqual([
    "reason",
    "code",
    "eid",
    "device",
    "address",
    "details",
  ]);
  return found as AuditLine;
}

const tokenFor = (eid: string, more: object = {}): Promise<string> =>
  issueToken({ secret: SECRET, eid, device: "phone", ...more });

/** A session, whose address is that of the proxy that every test stands behind. */
const open = (eid: string): Promise<Device> => door.system.device(eid, "phone");

/** The first frame of somebody without a token. */
async function firstFrame(payload: Uint8Array): Promise<void> {
  const { status, socket } = await door.knock({ headers: via() });
  expect(status).toBe(101);
  socket.write(frameOf(payload));
}

describe("at the upgrade", () => {
  test("a bad token", async () => {
    const { status } = await door.knock({ headers: via(), token: "a.b.c" });
    expect(status).toBe(401);
    await event({ reason: "token", code: 401, eid: "", device: "", address: from, details: "token: " });
  });

  test("an expired one", async () => {
    await door.knock({ headers: via(), token: await tokenFor("late@x", { expiresInS: -5 }) });
    await event({ reason: "token", code: 401, address: from, details: "exp: " });
  });

  test("a revoked one, with whose it was", async () => {
    const token = await tokenFor("revoked@x");
    const session = await open("revoked@x");
    await revoke(session, { token });
    await eventually("it is refused", async () => (await door.knock({ headers: via(), token })).status === 401);
    await event({ reason: "revoked", code: 401, eid: "revoked@x", device: "phone", address: from });
  });

  test("a page of another origin", async () => {
    const { status } = await door.knock({ headers: via(["Origin", "https://evil.example"]) });
    expect(status).toBe(403);
    await event({ reason: "origin", code: 403, eid: "", address: from, details: "origin: " });
  });

  test("more connections than the account may have", async () => {
    for (const device of ["a", "b"]) await door.system.device("many@x", device);
    const token = await issueToken({ secret: SECRET, eid: "many@x", device: "c" });
    const { status } = await door.knock({ headers: via(), token });
    expect(status).toBe(429);
    await event({ reason: "connections", code: 429, eid: "many@x", device: "c", address: from });
  });

  test("more connections than the address may have", async () => {
    const statuses: number[] = [];
    for (let n = 0; n < 13; n++)
      statuses.push((await door.knock({ headers: via(), token: await tokenFor(`from ${n}@x`) })).status);
    expect(statuses.slice(-2)).toEqual([101, 429]);
    await event({ reason: "connections", code: 429, eid: "", address: from, details: "address" });
  });

  test("more connections than the address may open in a time", async () => {
    let status = 0;
    for (let n = 0; n < 101; n++) ({ status } = await door.knock({ headers: via(), token: "a.b.c" }));
    expect(status).toBe(429);
    await event({ reason: "connections", code: 429, eid: "", address: from, details: "BIMIP_RATE_CONNECTS" });
  });

  test("more without a token than the address may have", async () => {
    const answers = [await door.knock({ headers: via() }), await door.knock({ headers: via() })];
    expect((await door.knock({ headers: via() })).status).toBe(429);
    for (const { socket } of answers) socket.destroy();
    await event({ reason: "connections", code: 429, eid: "", address: from });
  });
});

describe("in the first frame", () => {
  test("a bad token", async () => {
    await firstFrame(
      encodeStanza("tokenAuthority", create(TokenAuthoritySchema, { token: "a.b.c", task: 4, type: 1 })),
    );
    await event({ reason: "token", code: 401, eid: "", address: from, details: "token: " });
  });

  test("something else", async () => {
    await firstFrame(encodeStanza("pingPong", create(PingPongSchema, { type: 1 })));
    await event({ reason: "token", code: 401, eid: "", address: from, details: "first stanza" });
  });

  test("bytes that are no stanza", async () => {
    await firstFrame(Uint8Array.of(0xff));
    await event({ reason: "malformed", code: 400, eid: "", address: from });
  });

  test("nothing", async () => {
    await door.knock({ headers: via() });
    await event({ reason: "token", code: 408, eid: "", address: from });
  });
});

describe("of a session", () => {
  const message = (init: object = {}): Uint8Array =>
    encodeStanza("message", create(MessageSchema, { id: "m", to: { eid: "friend@x" }, ...init }));

  test.each([
    ["bytes that are no stanza", "broken@x", Uint8Array.of(0xff), 400, "malformed", "the frame"],
    ["a field that is wrong", "wrong@x", message({ id: "" }), 422, "malformed", "message.id: "],
    ["a stanza that is too large", "large@x", message({ type: "x".repeat(3_000) }), 413, "malformed", "3"],
    ["another's name", "liar@x", message({ from: { eid: "other@x" } }), 403, "forbidden", "message.from.eid: "],
    [
      "a push without the scope",
      "pusher@x",
      encodeStanza("pushNotification", create(PushNotificationSchema, { id: "p", to: { eid: "friend@x" }, type: "t" })),
      403,
      "forbidden",
      "push_notification",
    ],
    [
      "the logout of another account",
      "admin@x",
      encodeStanza("logout", create(LogoutSchema, { type: 3, to: { eid: "other@x" } })),
      403,
      "forbidden",
      "logout",
    ],
  ])("%s", async (_what, eid, frame, code, reason, details) => {
    const device = await open(eid);
    device.sendBytes(frame);
    const told = await event({ reason, code, eid, device: "phone", details });
    expect(told.address).toMatch(/^127\.0\.0\.1$/);
    await device.close();
  });

  test("a token that is not good, on a live session", async () => {
    const device = await open("renewer@x");
    await askToken(device, { task: TokenTask.AUTHENTICATE, token: "a.b.c" });
    await event({ reason: "token", code: 401, eid: "renewer@x", device: "phone" });
    await askToken(device, { task: TokenTask.REVOKE, to: { eid: "other@x" } });
    await event({ reason: "forbidden", code: 403, eid: "renewer@x", details: "token_authority" });
    await device.close();
  });

  test("its end, when its token is revoked", async () => {
    const device = await open("ended@x");
    const other = await door.system.device("ended@x", "tablet");
    await revoke(other, { to: { eid: "ended@x", connectionResourceId: "phone" } });
    await device.closing();
    await other.close();
    const { code } = await event({ reason: "revoked", eid: "ended@x", device: "phone" });
    expect(code).toBe(4401);
  });

  test("too fast, and closed for it; a flood of ten thousand is a handful of events", async () => {
    const device = await open("flooder@x");
    const frame = message();
    let sent = 0;
    await eventually("it is closed", () => {
      for (let n = 0; n < 1_000 && device.closed === undefined; n++, sent++) device.sendBytes(frame);
      return device.closed;
    });
    expect(device.closed?.code).toBe(4429);
    expect(sent).toBeGreaterThanOrEqual(1_000);
    await event({ reason: "abuse", code: 4429, eid: "flooder@x", device: "phone" });
    const { status } = await door.knock({ headers: via(), token: await tokenFor("flooder@x") });
    expect(status).toBe(429);
    const events = door.audited.filter(({ eid }) => eid === "flooder@x");
    expect(events.find(({ reason }) => reason === "rate")).toMatchObject({ code: 429, device: "phone" });
    expect(events.length).toBeLessThan(10);
  });
});

test("a flood of ten thousand refusals is a handful of events, and none is forgotten", async () => {
  const session = await open("noisy@x");
  const lie = encodeStanza("pingPong", create(PingPongSchema, { type: 1, from: { eid: "other@x" } }));
  for (let n = 0; n < FLOOD; n++) session.sendBytes(lie);
  await session.settle();
  const events = (): AuditLine[] => door.audited.filter(({ eid }) => eid === "noisy@x");
  const told = (): number => events().reduce((sum, line) => sum + ("repeats" in line ? Number(line.repeats) : 1), 0);
  await eventually(
    () => `${told()} of ${FLOOD} are told`,
    () => told() >= FLOOD,
  );
  expect(told()).toBe(FLOOD);
  expect(events().length).toBeLessThan(30);
  for (const line of events()) expect(line).toMatchObject({ reason: "forbidden", code: 403, device: "phone" });
});

test("while the gateway protects itself, those it does not let in", async () => {
  const busy = await startDoor({ BIMIP_SHED_MEMORY_BYTES: "1" });
  await eventually("it sheds", async () => (await busy.knock({ token: "a.b.c" })).status === 503);
  expect(busy.audited).toContainEqual(
    expect.objectContaining({ reason: "overload", code: 503, eid: "", address: "127.0.0.1" }),
  );
  await busy.system.stop();
});
