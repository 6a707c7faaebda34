// Renewing tokens over real services: on the live session, as the first frame, by two at once, after a lost answer, by a thief.
import { issueToken } from "@bimip/auth";
import { ErrorMessageSchema, LogoutType, type TokenAuthority, TokenTask, TokenType } from "@bimip/protocol";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { SECRET, startSystem, type System } from "../kit/system.js";
import { makeKey } from "../kit/token-keys.js";
import { askToken, firstFrame, revoke, sendToken } from "../kit/tokens.js";

const { REFRESH } = TokenTask;
const GRACE_MS = 1_000;

let folder: string;
let system: System;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bimip-keys-"));
  const key = makeKey("ES256");
  await writeFile(join(folder, "private.pem"), String(key.key.export({ type: "pkcs8", format: "pem" })));
  await writeFile(join(folder, "public.pem"), key.pem);
  system = await startSystem({
    gateways: 2,
    env: {
      BIMIP_TOKEN_SIGNING_KEY_FILE: join(folder, "private.pem"),
      BIMIP_JWT_KEY_FILES: join(folder, "public.pem"),
      BIMIP_TOKEN_LIFETIME_S: "60",
      BIMIP_REFRESH_GRACE_MS: String(GRACE_MS),
    },
  });
});
afterAll(async () => {
  await system.stop();
  await rm(folder, { recursive: true, force: true });
});

const urlOf = (at: number): string => system.urls[at] ?? "";

async function open(eid: string, expiresInS = 60, gateway = 0): Promise<Device> {
  const scope = "refresh push";
  const token = await issueToken({ secret: SECRET, eid, device: "phone", scope, name: "A Name", expiresInS });
  return Device.open(urlOf(gateway), { token });
}

/** That time is over, epoch milliseconds. */
async function passed(untilMs: number): Promise<void> {
  await eventually("the time passes", () => Date.now() > untilMs);
}

/** The RESULT of a REFRESH. */
async function refresh(device: Device, refreshToken = ""): Promise<TokenAuthority> {
  const answer = await askToken(device, { task: REFRESH, refreshToken });
  expect(answer).toMatchObject({ type: TokenType.RESULT, task: REFRESH, details: "" });
  return answer as TokenAuthority;
}

const claimsIn = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());

test("a session begins a family and outlives its first token; the new one lets in, and keeps scopes and name", async () => {
  const device = await open("alice@x", 2);
  const endMs = Date.now() + 2_500;
  const answer = await refresh(device);
  const { token, refreshToken, expiresAt, to } = answer;
  expect(to).toMatchObject({ eid: "alice@x", connectionResourceId: "phone", node: "gateway-1" });
  expect(claimsIn(token)).toMatchObject({ sub: "alice@x", device_id: "phone", scope: "refresh push", name: "A Name" });
  expect(Number(expiresAt)).toBe(Number(claimsIn(token)["exp"]) * 1_000);
  expect(Number(expiresAt) - Date.now()).toBeGreaterThan(55_000);
  await passed(endMs);
  await device.settle();
  expect(device.closed).toBeUndefined();
  await device.close();
  const again = await Device.open(urlOf(1), { token });
  const next = await refresh(again, refreshToken);
  expect(claimsIn(next.refreshToken)).toMatchObject({ gen: 2 });
  await again.close();
});

test("without the scope: 403 naming the field, and the session lives", async () => {
  const device = await system.device("bob@x", "phone");
  expect(await askToken(device, { task: REFRESH })).toMatchObject({
    $typeName: ErrorMessageSchema.typeName,
    code: 403,
    details: expect.stringMatching(/^token_authority\.task: .*scope refresh/),
  });
  await device.settle();
  await device.close();
});

test("as the first frame: the answer is new tokens, and the session begins with them", async () => {
  const first = await open("carol@x");
  const { refreshToken } = await refresh(first);
  await first.close();
  const back = await firstFrame(urlOf(1), { task: REFRESH, refreshToken }, "");
  const answer = await back.until("tokenAuthority");
  expect(answer).toMatchObject({
    id: "first",
    type: TokenType.RESULT,
    task: REFRESH,
    to: { eid: "carol@x", node: "gateway-2" },
  });
  await back.resumed();
  await back.messageSent({ id: "m", to: { eid: "carol@x" } });
  await back.close();
  // Bad ones: error 401, then 4401; nobody is talked to any longer.
  for (const [init, query, details] of [
    [{ refreshToken: "" }, "", "token_authority.refresh_token: is missing"],
    [{ refreshToken: answer.token }, "", "refresh_token: typ: is not that of a refresh token"],
    [{ refreshToken: answer.refreshToken }, "?device=laptop", "refresh_token: is not of the device asked for"],
  ] as const) {
    const stranger = await firstFrame(urlOf(0), { task: REFRESH, ...init }, query);
    expect(await stranger.closing()).toMatchObject({ code: 4401 });
    expect(stranger.of("error")).toMatchObject([{ code: 401, id: "first", details }]);
  }
  // None of them used the refresh token up.
  const last = await firstFrame(urlOf(0), { task: REFRESH, refreshToken: answer.refreshToken }, "?device=phone");
  expect(claimsIn((await last.until("tokenAuthority")).refreshToken)).toMatchObject({ gen: 3 });
  await last.close();
});

test("two sockets at once with the same refresh token: one turns it in, the other gets the same successor", async () => {
  for (let round = 0; round < 5; round++) {
    const eid = `both${round}@x`;
    const first = await open(eid);
    const { refreshToken } = await refresh(first);
    const sockets = await Promise.all([0, 1].map((at) => firstFrame(urlOf(at), { task: REFRESH, refreshToken }, "")));
    const answers = await Promise.all(sockets.map((socket) => socket.until("tokenAuthority")));
    for (const { refreshToken: successor } of answers) expect(claimsIn(successor)).toMatchObject({ gen: 2 });
    // One device has one session: who was first is replaced, by the usual rule.
    await eventually("one is left", () => sockets.filter(({ closed }) => closed === undefined).length === 1);
    expect(sockets.filter(({ closed }) => closed?.code === 4409)).toHaveLength(1);
    for (const socket of sockets) socket.socket.terminate();
  }
});

test("the same on one session, both asked before the first is answered", async () => {
  const device = await open("dave@x");
  const { refreshToken } = await refresh(device);
  const ids = [0, 1].map(() => sendToken(device, { task: REFRESH, refreshToken }));
  for (const id of ids) {
    const answer = await device.until("tokenAuthority", (one) => one.id === id);
    expect([answer.type, claimsIn(answer.refreshToken)["gen"]]).toEqual([TokenType.RESULT, 2]);
  }
});

test("a second use after the grace revokes the device: its session ends everywhere, its tokens are refused", async () => {
  const victim = await open("erin@x");
  const { refreshToken } = await refresh(victim);
  const thief = await firstFrame(urlOf(1), { task: REFRESH, refreshToken }, "");
  const stolen = await thief.until("tokenAuthority");
  expect(await victim.closing()).toMatchObject({ code: 4409 });
  await passed(Date.now() + GRACE_MS + 200);
  const back = await firstFrame(urlOf(0), { task: REFRESH, refreshToken }, "");
  const startMs = performance.now();
  expect(await back.closing()).toMatchObject({ code: 4401 });
  expect(back.of("error")).toMatchObject([{ code: 401, details: expect.stringContaining("was used before") }]);
  expect(await thief.closing()).toMatchObject({ code: 4401 });
  expect(performance.now() - startMs).toBeLessThan(1_000);
  expect(thief.of("logout")).toMatchObject([{ type: LogoutType.DEVICE }]);
  await expect(Device.open(urlOf(0), { token: stolen.token })).rejects.toThrow("401: token: was revoked");
  const late = await firstFrame(urlOf(1), { task: REFRESH, refreshToken: stolen.refreshToken }, "");
  expect(await late.closing()).toMatchObject({ code: 4401 });
  // Who logs in again gets in, and on.
  await eventually("a later second", async () => {
    const anew = await open("erin@x");
    await refresh(anew);
    await anew.close();
    return true;
  });
});

test("used a second time on the live session itself: it is told before it ends", async () => {
  const device = await open("frank@x");
  const { refreshToken } = await refresh(device);
  await refresh(device, refreshToken);
  await passed(Date.now() + GRACE_MS + 200);
  const id = sendToken(device, { task: REFRESH, refreshToken });
  expect(await device.closing()).toMatchObject({ code: 4401 });
  expect(device.of("tokenAuthority").find((answer) => answer.id === id)).toMatchObject({
    type: TokenType.ERROR,
    details: expect.stringContaining("was used before"),
  });
});

test("a family ends with a REVOKE of its device or account", async () => {
  for (const to of [
    { eid: "grace@x", node: "" },
    { eid: "grace@x", connectionResourceId: "phone", node: "" },
  ]) {
    const device = await eventually("a later second", () => open("grace@x"));
    const { refreshToken } = await refresh(device);
    await revoke(device, { to });
    expect(await device.closing()).toMatchObject({ code: 4401 });
    const back = await firstFrame(urlOf(1), { task: REFRESH, refreshToken }, "");
    expect(await back.closing()).toMatchObject({ code: 4401 });
    expect(back.of("error")).toMatchObject([{ code: 401, details: expect.stringMatching(/^refresh_token: /) }]);
  }
});

test("another device's refresh token is refused with 403 and stays good", async () => {
  const device = await open("heidi@x");
  const { refreshToken } = await refresh(device);
  const other = await open("ivan@x");
  expect(await askToken(other, { task: REFRESH, refreshToken })).toMatchObject({ code: 403 });
  expect(claimsIn((await refresh(device, refreshToken)).refreshToken)).toMatchObject({ gen: 2 });
});

test("the router is away: 503 with the id, the session lives; as the first frame 503 and close 4503", async () => {
  const device = await open("judy@x");
  const { refreshToken } = await refresh(device);
  await system.stopServices("router");
  const startMs = performance.now();
  for (const init of [{ task: REFRESH }, { task: REFRESH, refreshToken }, { task: TokenTask.REVOKE }]) {
    const answer = await askToken(device, init);
    expect(answer).toMatchObject({ $typeName: ErrorMessageSchema.typeName, code: 503 });
  }
  expect(performance.now() - startMs).toBeLessThan(7_000);
  await device.settle();
  const stranger = await firstFrame(urlOf(1), { task: REFRESH, refreshToken }, "");
  expect(await stranger.closing()).toMatchObject({ code: 4503 });
  expect(stranger.of("error")).toMatchObject([{ code: 503, id: "first", errorOrigin: 2 }]);
});
