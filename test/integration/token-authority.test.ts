// AUTHENTICATE, VALIDATE and REVOKE on an open session: who may what, what is answered, and that a bad token never ends a session.
import { issueToken, type TokenOptions } from "@bimip/auth";
import {
  ErrorMessageSchema,
  LogoutSchema,
  LogoutType,
  type PushNotification,
  PushNotificationSchema,
  TokenAuthoritySchema,
  TokenTask,
  TokenType,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { SECRET, startSystem, type System } from "../kit/system.js";
import { askToken, firstFrame, revoke, sendToken } from "../kit/tokens.js";

const { AUTHENTICATE, REFRESH, REVOKE, VALIDATE } = TokenTask;
const { RESULT, ERROR } = TokenType;

let system: System;
const lines: { msg?: string; audit?: { reason: string; eid: string; code: number; details: string } }[] = [];
beforeAll(async () => {
  system = await startSystem({ onLog: (line) => void lines.push(JSON.parse(line)) });
});
afterAll(() => system.stop());

const url = (): string => system.urls[0] ?? "";

function make(eid: string, device: string | undefined, extra: Partial<TokenOptions> = {}): Promise<string> {
  return issueToken({ secret: SECRET, eid, ...(device === undefined ? {} : { device }), ...extra });
}

async function open(eid: string, device: string, extra: Partial<TokenOptions> = {}): Promise<Device> {
  return Device.open(url(), { token: await make(eid, device, extra) });
}

/** That time is over, epoch milliseconds. */
async function passed(untilMs: number): Promise<void> {
  await eventually("the time passes", () => Date.now() > untilMs);
}

async function lives(device: Device): Promise<void> {
  await device.settle();
  expect(device.closed).toBeUndefined();
}

test("AUTHENTICATE: another token of the device takes over, with its expiry and scopes; the old one's end passes", async () => {
  const endMs = Date.now() + 2_200;
  const device = await open("alice@x", "phone", { expiresInS: 2 });
  device.send("pushNotification", pushTo("bob@x", "p1"));
  expect(await device.refusal("p1")).toMatchObject({ code: 403 });
  const token = await make("alice@x", "phone", { expiresInS: 4, scope: "push" });
  const answer = await askToken(device, { task: AUTHENTICATE, token });
  expect(answer).toMatchObject({
    type: RESULT,
    task: AUTHENTICATE,
    to: { eid: "alice@x", connectionResourceId: "phone", node: "gateway-1" },
  });
  device.send("pushNotification", pushTo("bob@x", "p2"));
  await device.sent("p2", "bob@x");
  await passed(endMs);
  await lives(device);
  expect(await device.closing()).toMatchObject({ code: 4401 });
  expect(device.of("error").at(-1)).toMatchObject({ code: 401, details: "the token expired" });
});

const pushTo = (eid: string, id: string): PushNotification =>
  create(PushNotificationSchema, { id, to: { eid }, type: "news" });

test("AUTHENTICATE: a token that names no device is taken for this one", async () => {
  const endMs = Date.now() + 1_200;
  const device = await open("bea@x", "phone", { expiresInS: 1 });
  const token = await make("bea@x", undefined, { expiresInS: 3_600 });
  expect(await askToken(device, { task: AUTHENTICATE, token })).toMatchObject({ type: RESULT });
  await passed(endMs);
  await lives(device);
});

test("AUTHENTICATE: a bad token is told by type 3, another's by 403; the session lives on with its own", async () => {
  const device = await open("carol@x", "phone");
  for (const [token, details] of [
    ["rubbish", /^token: /],
    [await make("carol@x", "phone", { expiresInS: -1 }), /^exp: /],
    [await make("carol@x", "phone", { secret: `${SECRET}!` }), /^token: its signature/],
  ] as const)
    expect(await askToken(device, { task: AUTHENTICATE, token })).toMatchObject({
      type: ERROR,
      task: AUTHENTICATE,
      details: expect.stringMatching(details),
    });
  for (const [eid, name] of [
    ["dan@x", "phone"],
    ["carol@x", "laptop"],
    ["dan@x", "laptop"],
  ] as const)
    expect(await askToken(device, { task: AUTHENTICATE, token: await make(eid, name) })).toMatchObject({
      $typeName: ErrorMessageSchema.typeName,
      code: 403,
      details: "token_authority.token: is not of this session's account and device",
    });
  await lives(device);
});

test("a token that was revoked does not take over; one that took over is what a revocation ends", async () => {
  const device = await open("erin@x", "phone", { jti: "first" });
  const admin = await open("admin@x", "console", { scope: "admin" });
  const second = await make("erin@x", "phone", { jti: "second" });
  const third = await make("erin@x", "phone", { jti: "third" });
  await revoke(admin, { jti: "second" });
  expect(await askToken(device, { task: AUTHENTICATE, token: second })).toMatchObject({
    type: ERROR,
    details: "token: was revoked",
  });
  expect(await askToken(device, { task: AUTHENTICATE, token: third })).toMatchObject({ type: RESULT });
  await revoke(admin, { jti: "first" });
  await lives(device);
  await revoke(admin, { jti: "third" });
  expect(await device.closing()).toMatchObject({ code: 4401 });
});

test("VALIDATE: one's own, the session's where none is named, any with the scope admin", async () => {
  const device = await open("fay@x", "phone", { jti: "fay's", expiresInS: 100 });
  const own = await askToken(device, { task: VALIDATE });
  expect(own).toMatchObject({
    type: RESULT,
    jti: "fay's",
    details: "",
    to: { eid: "fay@x", connectionResourceId: "phone" },
  });
  const laptop = await make("fay@x", "laptop", { jti: "other" });
  expect(await askToken(device, { task: VALIDATE, token: laptop })).toMatchObject({
    type: RESULT,
    jti: "other",
    to: { connectionResourceId: "laptop", node: "" },
  });
  const foreign = await make("gil@x", "phone");
  expect(await askToken(device, { task: VALIDATE, token: foreign })).toMatchObject({
    code: 403,
    details: "token_authority.token: is of another account, which takes the scope admin",
  });
  expect(await askToken(device, { task: VALIDATE, token: "x.y.z" })).toMatchObject({ type: ERROR });
  const admin = await open("admin@x", "console", { scope: "admin" });
  expect(await askToken(admin, { task: VALIDATE, token: foreign })).toMatchObject({
    type: RESULT,
    to: { eid: "gil@x" },
  });
  await revoke(admin, { token: foreign });
  expect(await askToken(admin, { task: VALIDATE, token: foreign })).toMatchObject({
    type: ERROR,
    details: "token: was revoked",
  });
  await lives(device);
});

test("REVOKE of oneself: answered first, then closed with 4401; whichever way it is said", async () => {
  for (const [at, init] of [
    {},
    { jti: "mine-1" },
    { token: await make("hal@x", "phone", { jti: "mine-2" }) },
    { to: { eid: "hal3@x", connectionResourceId: "phone", node: "" } },
    { to: { eid: "hal4@x", node: "" } },
    { to: { eid: "", connectionResourceId: "phone", node: "" } },
  ].entries()) {
    const eid = "token" in init ? "hal@x" : `hal${at}@x`;
    const device = await open(eid, "phone", { jti: `mine-${at}` });
    const id = sendToken(device, { task: REVOKE, ...init });
    expect(await device.closing()).toMatchObject({ code: 4401 });
    expect(device.of("tokenAuthority")).toMatchObject([{ id, type: RESULT, task: REVOKE }]);
    expect([device.of("error"), device.of("logout")]).toEqual([[], []]);
    await expect(open(eid, "phone", { jti: `mine-${at}`, nowMs: Date.now() - 1_000 })).rejects.toThrow("401");
  }
});

test("REVOKE of others: one's own account's yes, another's takes the scope admin, what cannot be names its field", async () => {
  const device = await open("ida@x", "phone", { jti: "ida's" });
  const pad = await open("ida@x", "pad", { jti: "pad's" });
  expect(await revoke(device, { token: await make("ida@x", "pad", { jti: "pad's" }) })).toMatchObject({ type: RESULT });
  expect(await pad.closing()).toMatchObject({ code: 4401 });
  for (const [init, code, details] of [
    [{ jti: "somebody's" }, 403, /^token_authority\.jti: /],
    [{ token: await make("jo@x", "phone") }, 403, /^token_authority\.token: /],
    [{ to: { eid: "jo@x", node: "" } }, 403, /^token_authority\.to\.eid: /],
    [{ to: { eid: "jo@x", connectionResourceId: "phone", node: "" } }, 403, /^token_authority\.to\.eid: /],
    [{ jti: "ida's", token: "x" }, 422, /^token_authority\.jti: is set beside token/],
    [{ token: await make("ida@x", "phone", { jti: "" }) }, 422, /^token_authority\.token: has no jti/],
    [
      { to: { eid: "ida@x", connectionResourceId: "", node: "" } },
      422,
      /^token_authority\.to\.connection_resource_id: /,
    ],
    [{ jti: "x", expiresAt: -1n }, 422, /^token_authority\.expires_at: /],
    [{ refreshToken: "x".repeat(16_385) }, 422, /^token_authority\.refresh_token: is too long/],
  ] as const)
    expect(await revoke(device, init)).toMatchObject({ code, details: expect.stringMatching(details) });
  expect(await revoke(device, { token: "rubbish" })).toMatchObject({ type: ERROR });
  // Nobody shall be told that a token is refused which is not: seconds are easily taken for milliseconds.
  const admin = await open("admin@x", "console", { scope: "admin" });
  const inSeconds = BigInt(Math.floor(Date.now() / 1_000) + 3_600);
  expect(await revoke(admin, { jti: "ida's", expiresAt: inSeconds })).toMatchObject({
    code: 422,
    details: "token_authority.expires_at: lies in the past",
  });
  const nameless = await open("kim@x", "phone", { jti: "" });
  expect(await revoke(nameless)).toMatchObject({
    code: 422,
    details: "token_authority.jti: this session's token has none: name the device or the account in to",
  });
  await Promise.all([device, nameless].map(lives));
});

test("REVOKE of a device: one's own at once, another of the account that was seen at some time; an administrator names any", async () => {
  const to = (eid: string, name: string) => ({ to: { eid, connectionResourceId: name, node: "" } });
  const device = await open("lou@x", "phone");
  expect(await revoke(device, to("lou@x", "made up"))).toMatchObject({
    $typeName: ErrorMessageSchema.typeName,
    code: 404,
    details: "token_authority.to.connection_resource_id: no device of this name was ever seen",
  });
  const pad = await open("lou@x", "pad");
  // Once it is registered.
  await eventually(
    "it is revoked",
    async () => (await revoke(device, to("lou@x", "pad"))).$typeName === TokenAuthoritySchema.typeName,
  );
  expect(await pad.closing()).toMatchObject({ code: 4401 });
  expect(await revoke(device, to("lou@x", "pad"))).toMatchObject({ type: RESULT });
  const admin = await open("admin@x", "console", { scope: "admin" });
  expect(await revoke(admin, to("lou@x", "made up"))).toMatchObject({ type: RESULT });
  await lives(device);
});

test("REVOKE and Logout of one's own device do not need awareness to have heard of it", async () => {
  const own = await startSystem();
  try {
    await own.stopServices("awareness");
    const phone = await own.device("moe@x", "phone");
    sendToken(phone, { task: REVOKE, to: { eid: "moe@x", connectionResourceId: "phone", node: "" } });
    expect(await phone.closing()).toMatchObject({ code: 4401 });
    expect([phone.of("error"), phone.of("tokenAuthority")]).toMatchObject([[], [{ type: RESULT }]]);
    const pad = await own.device("moe@x", "pad");
    pad.send("logout", create(LogoutSchema, { type: LogoutType.DEVICE }));
    expect(await pad.closing()).toMatchObject({ code: 1000 });
  } finally {
    await own.stop();
  }
});

test("without a signing key at the router REFRESH is 403, also as the first frame", async () => {
  const device = await open("lea@x", "phone", { scope: "refresh" });
  const details = expect.stringMatching(/^token_authority\.task: .*no signing key/);
  for (const init of [{}, { refreshToken: "x" }])
    expect(await askToken(device, { task: REFRESH, ...init })).toMatchObject({ code: 403, details });
  await lives(device);
  const stranger = await firstFrame(url(), { task: REFRESH, refreshToken: "x" });
  expect(await stranger.closing()).toMatchObject({ code: 4401 });
  expect(stranger.of("error")).toMatchObject([{ code: 403, details }]);
});

test("more than eight at once: 429 with the id, and the eight are answered", async () => {
  const device = await open("max@x", "phone");
  const token = await make("max@x", "pad", { jti: "pad's" });
  const ids = Array.from({ length: 20 }, () => sendToken(device, { task: REVOKE, token }));
  await eventually(
    "all are answered",
    () => device.of("tokenAuthority").length + device.of("error").length === ids.length,
  );
  const refused = device.of("error");
  expect(refused.length).toBeGreaterThan(0);
  for (const { code, id } of refused) expect([code, ids.includes(id)]).toEqual([429, true]);
  expect(device.of("tokenAuthority").length).toBeGreaterThanOrEqual(8);
  await lives(device);
});

test("NATS is away: 503 with the id, in the session and as the first frame, and nothing is forgotten afterwards", async () => {
  const device = await open("nan@x", "phone");
  const token = await make("nan@x", "phone");
  const stranger = await Device.open(url(), { query: "" });
  await system.nats.kill("SIGKILL");
  await eventually("the gateway notices", () => lines.some(({ msg }) => msg === "NATS is away"));
  expect(await askToken(device, { task: AUTHENTICATE, token })).toMatchObject({ code: 503 });
  expect(await askToken(device, { task: REVOKE })).toMatchObject({ code: 503 });
  sendToken(stranger, { id: "first", task: AUTHENTICATE, token });
  expect(await stranger.closing()).toMatchObject({ code: 4503 });
  expect(stranger.of("error")).toMatchObject([{ code: 503, id: "first" }]);
  await system.nats.restart();
  await eventually(
    "it is back",
    async () => (await askToken(device, { task: AUTHENTICATE, token })).$typeName === "bimip.TokenAuthority",
  );
  // The router may come back later than the gateway.
  await eventually("it is revoked", async () => (await revoke(device)).$typeName === "bimip.TokenAuthority");
  expect(await device.closing()).toMatchObject({ code: 4401 });
  expect(device.of("tokenAuthority").at(-1)).toMatchObject({ task: REVOKE, type: RESULT });
});

test("each refusal left an audit line that says who and why, and holds no token", () => {
  const audits = lines.flatMap(({ audit }) => (audit === undefined ? [] : [audit]));
  for (const [reason, eid] of [
    ["token", "carol@x"],
    ["forbidden", "carol@x"],
    ["revoked", "erin@x"],
    ["forbidden", "ida@x"],
  ])
    expect(audits.some((audit) => audit.reason === reason && audit.eid === eid)).toBe(true);
  const text = JSON.stringify(lines);
  expect(text).not.toMatch(/eyJ[\w-]+\.[\w-]+\./);
});
