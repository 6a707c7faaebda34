// Revoked tokens: an account with 50 devices on three gateways is closed within a second and refused from then on, also after a restart
// of everything.
import { issueToken } from "@bimip/auth";
import { BUCKETS, CasBucket, connectNats, type Link, revocationKeys } from "@bimip/nats";
import { LogoutType, TokenTask, TokenType } from "@bimip/protocol";
import { jetstreamManager } from "@nats-io/jetstream";
import { createHmac } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Device, HttpRefusal } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { SECRET, startSystem, type System } from "../kit/system.js";
import { askToken, firstFrame, revoke } from "../kit/tokens.js";

const GATEWAYS = 3;
const DEVICES = 50;

/** A device and the token it came with. */
interface Held {
  readonly name: string;
  readonly jti: string;
  readonly token: string;
  readonly device: Device;
}

let system: System;
let link: Link;
beforeAll(async () => {
  system = await startSystem({ gateways: GATEWAYS, env: { BIMIP_JWT_CLOCK_SKEW_S: "1" } });
  link = await connectNats({ servers: system.nats.url, name: "test" });
});
afterAll(async () => {
  await link.nc.close();
  await system.stop();
});

const urlOf = (at: number): string => system.urls[at % GATEWAYS] ?? "";

async function open(
  eid: string,
  name: string,
  at = 0,
  extra: { scope?: string; expiresInS?: number } = {},
): Promise<Held> {
  const jti = `jti of ${eid} ${name} ${Math.random()}`;
  const token = await issueToken({ secret: SECRET, eid, device: name, jti, ...extra });
  return { name, jti, token, device: await Device.open(urlOf(at), { token }) };
}

async function openAll(eid: string, count = DEVICES): Promise<Held[]> {
  return Promise.all(Array.from({ length: count }, (_, n) => open(eid, `device-${n}`, n)));
}

/** Once the test's own connection is back from the last restart. */
async function openBucket(): Promise<CasBucket> {
  await eventually("NATS is back", () => link.up);
  return CasBucket.open(link.nc, BUCKETS.revocations);
}

/** The time until all are closed. */
async function closedAfterMs(all: readonly Held[], sinceMs: number): Promise<number> {
  await eventually(
    () => `${all.filter(({ device }) => device.closed === undefined).length} are still open`,
    () => all.every(({ device }) => device.closed !== undefined),
  );
  return performance.now() - sinceMs;
}

/** Both ways, on every gateway, within a second. */
async function isRefused(token: string, query = ""): Promise<void> {
  for (const url of system.urls) {
    await eventually("it is refused", () => isRefusedAtTheDoor(url, token, query), 1_000);
    const stranger = await firstFrame(url, { task: TokenTask.AUTHENTICATE, token }, query);
    expect(await stranger.closing()).toMatchObject({ code: 4401 });
    expect(stranger.of("error")).toMatchObject([{ code: 401, id: "first", details: "token: was revoked" }]);
    expect(stranger.of("tokenAuthority")).toEqual([]);
  }
}

async function isRefusedAtTheDoor(url: string, token: string, query: string): Promise<boolean> {
  try {
    const device = await Device.open(url, { token, query, settle: false });
    device.socket.terminate();
    return false;
  } catch (error) {
    expect(error).toBeInstanceOf(HttpRefusal);
    expect(error).toMatchObject({ status: 401, message: "401: token: was revoked" });
    return true;
  }
}

/** How many revocations each gateway holds. */
async function held(): Promise<number[]> {
  const lines = (await system.metrics()).matchAll(/^bimip_gateway_revocations\{[^}]*\} (\d+)/gm);
  return [...lines].map(([, count]) => Number(count));
}

/** The same on all gateways; 0: they do not agree. */
async function agreed(): Promise<number> {
  const [first = 0, ...others] = await held();
  return others.every((count) => count === first) ? first : 0;
}

async function lives({ device }: Held): Promise<void> {
  await device.settle();
  expect(device.closed).toBeUndefined();
}

/** Revokes one after the other, four at a time; the longest time from a question to the end of its session. */
async function slowestMs(
  asker: Held,
  all: readonly Held[],
  what: (one: Held) => Parameters<typeof revoke>[1],
): Promise<number> {
  const waiting = [...all];
  let slowest = 0;
  const lane = async (): Promise<void> => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
      const startMs = performance.now();
      expect(await revoke(asker.device, what(one))).toMatchObject({ type: TokenType.RESULT });
      slowest = Math.max(slowest, await closedAfterMs([one], startMs));
    }
  };
  await Promise.all([lane(), lane(), lane(), lane()]);
  return slowest;
}

const report = (what: string, ms: number): void => {
  process.stdout.write(`${what}: ${DEVICES} devices on ${GATEWAYS} gateways closed within ${ms.toFixed(0)} ms\n`);
};

test("an account: all closed with 4401 within a second, all refused, another account untouched, also after a restart of everything", async () => {
  const all = await openAll("alice@x");
  const bob = await open("bob@x", "phone");
  const admin = await open("admin@x", "console", 1, { scope: "admin" });
  const startMs = performance.now();
  const answer = await revoke(admin.device, { to: { eid: "alice@x", node: "" } });
  const ms = await closedAfterMs(all, startMs);
  report("account", ms);
  expect(answer).toMatchObject({ type: TokenType.RESULT, task: TokenTask.REVOKE, to: { eid: "alice@x" } });
  expect(ms).toBeLessThan(1_000);
  for (const { device, name } of all) {
    expect(device.closed).toMatchObject({ code: 4401 });
    expect(device.of("logout")).toMatchObject([
      { type: LogoutType.ACCOUNT, status: 1, to: { eid: "alice@x", connectionResourceId: name } },
    ]);
  }
  const tried = [...all.slice(0, 3), ...all.slice(-1)];
  for (const { token } of tried) await isRefused(token);
  await Promise.all([bob, admin].map(lives));

  await system.restart();
  for (const { token } of tried) await isRefused(token);
  await (await Device.open(urlOf(0), { token: bob.token })).close();
  // A token of a later second lets in again.
  await eventually("a new token", async () => {
    const { device } = await open("alice@x", "device-0");
    await device.close();
    return true;
  });
});

test("single tokens: the same, and the account's other tokens are good", async () => {
  const all = await openAll("carol@x");
  const spare = await open("carol@x", "spare");
  const admin = await open("admin@x", "console", 1, { scope: "admin" });
  const ms = await slowestMs(admin, all, ({ jti }) => ({ jti }));
  report("single tokens, one question each, the slowest", ms);
  expect(ms).toBeLessThan(1_000);
  for (const { device } of all) {
    expect(device.closed).toMatchObject({ code: 4401 });
    expect(device.of("error")).toMatchObject([{ code: 401, details: "token: was revoked" }]);
    expect(device.of("logout")).toEqual([]);
  }
  await isRefused(all[0]?.token ?? "");
  await lives(spare);
  await system.restart();
  for (const { token } of all.slice(-2)) await isRefused(token);
  await (await Device.open(urlOf(2), { token: spare.token })).close();
});

test("devices: the same, by the user's own hand; the asking device lives", async () => {
  const all = await openAll("dave@x");
  // Names no device: opens every one that is not revoked.
  const token = await issueToken({ secret: SECRET, eid: "dave@x" });
  const own = await open("dave@x", "in my hand");
  const ms = await slowestMs(own, all, ({ name }) => ({
    to: { eid: "dave@x", connectionResourceId: name, node: "" },
  }));
  report("devices, one question each, the slowest", ms);
  expect(ms).toBeLessThan(1_000);
  for (const { device, name } of all) {
    expect(device.closed).toMatchObject({ code: 4401 });
    expect(device.of("logout")).toMatchObject([{ type: LogoutType.DEVICE, to: { connectionResourceId: name } }]);
  }
  await isRefused(all[0]?.token ?? "");
  await isRefused(token, "?device=device-1");
  await (await Device.open(urlOf(0), { token, query: "?device=new" })).close();
  await lives(own);
  await system.restart();
  await isRefused(all.at(-1)?.token ?? "");
});

test("a token that does not say when it was issued is refused like an old one", async () => {
  const admin = await open("admin@x", "console", 0, { scope: "admin" });
  const nameless = await tokenWithoutIat("erin@x");
  await (await Device.open(urlOf(0), { token: nameless })).close();
  await revoke(admin.device, { to: { eid: "erin@x", node: "" } });
  await isRefused(nameless);
});

async function tokenWithoutIat(eid: string): Promise<string> {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: eid, device_id: "phone" })}`;
  return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
}

test("tokens issued in the very second of the revocation are refused, those of the next are good", async () => {
  const admin = await open("admin@x", "console", 0, { scope: "admin" });
  const startS = Math.floor(Date.now() / 1_000);
  await revoke(admin.device, { to: { eid: "frank@x", node: "" } });
  const bucket = await openBucket();
  const { atS } = JSON.parse(Buffer.from((await bucket.read(revocationKeys.user("frank@x")))?.bytes ?? "").toString());
  expect(atS).toBeGreaterThanOrEqual(startS);
  const of = (nowMs: number): Promise<string> => issueToken({ secret: SECRET, eid: "frank@x", device: "phone", nowMs });
  await isRefused(await of(atS * 1_000 + 999));
  await (await Device.open(urlOf(1), { token: await of((atS + 1) * 1_000) })).close();
});

test("what is written as soon as NATS is back from a restart ends sessions of gateways that come back later", async () => {
  const victim = await open("grace@x", "phone");
  const other = await open("grace@x", "pad", 1);
  const key = revocationKeys.jti(victim.jti);
  const bucket = await openBucket();
  await system.nats.restart();
  const record = { atS: 1, untilMs: 0, by: "test" };
  await eventually("it is written", () => bucket.write(key, Buffer.from(JSON.stringify(record)), 0));
  expect(await victim.device.closing()).toMatchObject({ code: 4401 });
  await lives(other);
});

test("a bucket that is lost takes nothing back here, and what comes into the new one counts", async () => {
  const admin = await open("admin@x", "console", 0, { scope: "admin" });
  const heidi = await open("heidi@x", "phone", 1);
  const ivan = await open("ivan@x", "phone", 2);
  await revoke(admin.device, { to: { eid: "heidi@x", node: "" } });
  await heidi.device.closing();
  await eventually("all know it", agreed);
  await eventually("NATS is back", () => link.up);
  const jsm = await jetstreamManager(link.nc);
  const { config } = await jsm.streams.info(`KV_${BUCKETS.revocations}`);
  await jsm.streams.delete(`KV_${BUCKETS.revocations}`);
  await jsm.streams.add(config);
  expect(
    await eventually("another revocation", async () => {
      const answer = await revoke(admin.device, { jti: ivan.jti });
      return answer.$typeName === "bimip.TokenAuthority" ? answer : undefined;
    }),
  ).toMatchObject({ type: TokenType.RESULT });
  expect(await ivan.device.closing()).toMatchObject({ code: 4401 });
  await isRefused(heidi.token);
  await isRefused(ivan.token);
});

test("an entry is gone when the last token that it refuses has expired: from the bucket and from memory", async () => {
  const admin = await open("admin@x", "console", 0, { scope: "admin" });
  const before = await eventually("all know the same", agreed);
  const expiresInS = 4;
  const { jti, device } = await open("judy@x", "phone", 1, { expiresInS });
  expect(await revoke(admin.device, { jti, expiresAt: BigInt(Date.now() + expiresInS * 1_000) })).toMatchObject({
    type: 2,
  });
  expect(await device.closing()).toMatchObject({ code: 4401 });
  expect(device.of("error")).toMatchObject([{ details: "token: was revoked" }]);
  await eventually("all know it", async () => (await agreed()) === before + 1, 1_000);
  await eventually("memory forgets it", async () => (await agreed()) === before);
  const bucket = await openBucket();
  await eventually("the bucket forgets it", async () => (await bucket.read(revocationKeys.jti(jti))) === undefined);
});

test("REVOKE again is answered again; a token's id of 10 kB is fine, beyond a token's size the field is named", async () => {
  const admin = await open("admin@x", "console", 0, { scope: "admin" });
  const jti = "x".repeat(10_240);
  const token = await issueToken({ secret: SECRET, eid: "ken@x", device: "phone", jti });
  const query = "?device=phone";
  const ken = await firstFrame(urlOf(0), { task: TokenTask.AUTHENTICATE, token }, query);
  await ken.until("tokenAuthority");
  for (let n = 0; n < 2; n++) expect(await revoke(admin.device, { jti })).toMatchObject({ type: TokenType.RESULT });
  expect(await ken.closing()).toMatchObject({ code: 4401 });
  const again = await firstFrame(urlOf(1), { task: TokenTask.AUTHENTICATE, token }, query);
  expect(await again.until("error")).toMatchObject({ code: 401, details: "token: was revoked" });
  expect(await askToken(admin.device, { task: TokenTask.REVOKE, jti: "x".repeat(16_385) })).toMatchObject({
    code: 422,
    details: "token_authority.jti: is too long: 16385 bytes, at most 16384",
  });
});
