// The SDK's tokens, sessions and logouts against the real services, on two gateways.
import { issueToken } from "@bimip/auth";
import {
  type BimipClient,
  type ClientOptions,
  createClient,
  memoryStore,
  type SavedTokens,
  type SocketFactory,
  type Tokens,
} from "@bimip/client";
import { decodeFrame, TokenTask, TokenType } from "@bimip/protocol";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { defaultSockets } from "../../packages/client/src/socket-node.js";
import { eventually } from "../kit/eventually.js";
import { SECRET, startSystem, type System } from "../kit/system.js";

const GRACE_MS = 2_000;
/** The shortest that the broker makes. */
const LIFETIME_S = 10;

let system: System;
let dir: string;
const clients: BimipClient[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "bimip-tokens-"));
  const key = join(dir, "signing-key");
  await writeFile(key, SECRET);
  system = await startSystem({
    gateways: 2,
    env: {
      BIMIP_TOKEN_SIGNING_KEY_FILE: key,
      BIMIP_TOKEN_LIFETIME_S: String(LIFETIME_S),
      BIMIP_REFRESH_GRACE_MS: String(GRACE_MS),
    },
  });
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
});
afterAll(async () => {
  await system.stop();
  await rm(dir, { recursive: true });
});

/** As a browser: the token travels in the first frame. */
const firstFrame: SocketFactory = {
  sendsTokenInHeader: false,
  open: (url, _token, handlers) => defaultSockets.open(url, "", handlers),
};

function clientOf(options: Partial<ClientOptions>, gateway = 0): BimipClient {
  const reconnect = { minDelayMs: 20, maxDelayMs: 200 };
  const client = createClient({ url: system.urls[gateway] ?? "", reconnect, ...options });
  clients.push(client);
  return client;
}

const tokenOf = (eid: string, device: string, extra: { scope?: string; expiresInS?: number } = {}): Promise<string> =>
  issueToken({ secret: SECRET, eid, device, ...extra });

/** What happened to a client from now on. */
function watch(client: BimipClient) {
  const seen = { states: [] as string[], errors: [] as string[], logouts: [] as number[], texts: [] as string[] };
  client.on("state", (state) => seen.states.push(state));
  client.on("error", ({ code, details }) => seen.errors.push(`${code} ${details}`));
  client.on("logout", ({ type }) => seen.logouts.push(type));
  client.on("message", ({ text = "" }) => seen.texts.push(text));
  return seen;
}

/** A store of tokens in memory. */
function storeOf(saved?: SavedTokens) {
  const store = {
    saved,
    load: () => store.saved,
    save: async (tokens: Tokens | undefined) => void (store.saved = tokens),
  };
  return store;
}

/** A store that a first client has had a family begun for. */
async function login(eid: string, device: string): Promise<ReturnType<typeof storeOf>> {
  const store = storeOf();
  const client = clientOf({ token: await tokenOf(eid, device, { scope: "refresh" }), refreshToken: store });
  await client.connect();
  await eventually("a family", () => store.saved);
  await client.close();
  return store;
}

const passed = (untilMs: number): Promise<unknown> => eventually("the time passes", () => Date.now() > untilMs);

test("an app and a page talk for three token lifetimes on one connection each", async () => {
  const lifetimeS = 3;
  const token = (device: string) => (): Promise<string> => tokenOf("ann", device, { expiresInS: lifetimeS });
  const app = clientOf({ token: token("app") });
  const page = clientOf({ token: token("page"), socket: firstFrame }, 1);
  const [ofApp, ofPage] = [watch(app), watch(page)];
  await Promise.all([app.connect(), page.connect()]);
  const endMs = Date.now() + 3.3 * lifetimeS * 1_000;
  let sent = 0;
  await eventually("three lifetimes", async () => {
    await app.send({ to: "ann", text: `app ${++sent}` });
    await page.send({ to: "ann", text: `page ${sent}` });
    return Date.now() > endMs;
  });
  await eventually("all came", () => ofApp.texts.length === sent && ofPage.texts.length === sent);
  for (const { states, errors } of [ofApp, ofPage]) {
    expect([states, errors]).toEqual([["connecting", "replaying", "online"], []]);
  }
  const sessions = await app.sessions();
  expect(Object.fromEntries(sessions.map(({ device, current }) => [device, current]))).toEqual({
    app: true,
    page: false,
  });
  expect(sessions).toHaveLength(2);
  for (const { since } of sessions) expect(since).toBeLessThan(endMs - 3 * lifetimeS * 1_000);
});

test("refresh tokens carry an app and a page over the end of their access tokens; the next process begins with REFRESH", async () => {
  const stores = await Promise.all([login("bea", "app"), login("bea", "page")]);
  const options = [{}, { socket: firstFrame }];
  const made = stores.map((refreshToken, at) => clientOf({ refreshToken, ...options[at] }, at));
  const seen = made.map(watch);
  await Promise.all(made.map((client) => client.connect()));
  const before = stores.map(({ saved }) => saved?.refreshToken);
  await passed(Date.now() + (LIFETIME_S + 1) * 1_000);
  await Promise.all(made.map((client) => client.ping()));
  for (const { states, errors } of seen) {
    expect([states, errors]).toEqual([["connecting", "replaying", "online"], []]);
  }
  for (const [at, store] of stores.entries()) expect(store.saved?.refreshToken).not.toBe(before[at]);
  await Promise.all(made.map((client) => client.close()));
  for (const [at, store] of stores.entries()) {
    const { refreshToken = "" } = store.saved ?? {};
    store.saved = { refreshToken };
    const next = clientOf({ refreshToken: store, ...options[at] }, 1 - at);
    await next.connect();
    expect(await next.validate()).toMatchObject({ valid: true, eid: "bea" });
    await eventually("kept", () => store.saved?.token !== undefined);
  }
});

describe("a lost answer to REFRESH", () => {
  /** Sockets whose first RESULT of a REFRESH gets lost, with the connection. */
  function losing(sockets: SocketFactory): { socket: SocketFactory; lost: () => number } {
    let lost = 0;
    const socket: SocketFactory = {
      sendsTokenInHeader: sockets.sendsTokenInHeader,
      open(url, token, handlers) {
        const opened = sockets.open(url, token, {
          ...handlers,
          onFrame(bytes) {
            const { kind, value } = decodeFrame(bytes, { maxStanzaBytes: 1 << 26 }).stanza;
            const isTokens =
              kind === "tokenAuthority" && value.task === TokenTask.REFRESH && value.type === TokenType.RESULT;
            if (!isTokens || lost > 0) return handlers.onFrame(bytes);
            lost++;
            opened.terminate();
          },
        });
        return opened;
      },
    };
    return { socket, lost: () => lost };
  }

  test.each([
    ["on the open connection", defaultSockets, true],
    ["to the first frame", firstFrame, false],
  ])("%s costs nobody the family", async (_name, sockets, isOpen) => {
    const eid = `cleo-${isOpen}`;
    const store = await login(eid, "phone");
    if (!isOpen && store.saved !== undefined) store.saved = { refreshToken: store.saved.refreshToken };
    const { socket, lost } = losing(sockets);
    const phone = clientOf({ refreshToken: store, socket });
    const { errors } = watch(phone);
    await phone.connect();
    const before = store.saved?.refreshToken;
    await phone.refresh();
    expect(lost()).toBe(1);
    await eventually("kept", () => store.saved?.refreshToken !== before);
    await phone.refresh();
    expect(await phone.validate()).toMatchObject({ valid: true, eid });
    expect(errors.every((error) => error.startsWith("503 no connection"))).toBe(true);
  });
});

test("a stolen refresh token ends thief and owner, and neither comes back by itself", async () => {
  const store = await login("dora", "phone");
  const stolen = store.saved?.refreshToken ?? "";
  const phone = clientOf({ refreshToken: store });
  const seen = watch(phone);
  await phone.connect();
  await phone.refresh();
  await phone.refresh();
  await passed(Date.now() + GRACE_MS + 200);
  const thief = clientOf({ refreshToken: stolen }, 1);
  await expect(thief.connect()).rejects.toMatchObject({
    code: 401,
    details: expect.stringMatching(/^refresh_token: was used before/),
  });
  await eventually("the owner is out", () => phone.state === "closed");
  expect(seen.errors).toEqual([expect.stringMatching(/^401 logged out/)]);
  await expect(phone.connect()).rejects.toMatchObject({ code: 401 });
  expect([phone.state, thief.state, store.saved]).toEqual(["closed", "closed", undefined]);
});

test("without a signing key, scope or family: 403, and the client goes on", async () => {
  const phone = clientOf({ token: await tokenOf("eve", "phone") });
  await phone.connect();
  await expect(phone.refresh()).rejects.toMatchObject({ code: 403, details: expect.stringContaining("scope refresh") });
  await phone.ping();
});

describe("logout()", () => {
  test("of another device: it is out on the other gateway, and its token is refused; this one goes on", async () => {
    const phone = clientOf({ token: await tokenOf("fay", "phone") });
    const laptop = clientOf({ token: () => tokenOf("fay", "laptop") }, 1);
    const [onPhone, onLaptop] = [watch(phone), watch(laptop)];
    await Promise.all([phone.connect(), laptop.connect()]);
    await phone.logout({ device: "laptop" });
    await eventually("out", () => laptop.state === "closed");
    expect(onLaptop.logouts).toEqual([1]);
    expect(onLaptop.errors).toEqual([expect.stringMatching(/^401 logged out/)]);
    expect((await phone.sessions()).map(({ device }) => device)).toEqual(["phone"]);
    expect([onPhone.logouts, onPhone.errors, phone.state]).toEqual([[], [], "online"]);
  });

  test("of a session: its token stays good", async () => {
    const token = await tokenOf("gil", "laptop");
    const [phone, laptop] = [clientOf({ token: await tokenOf("gil", "phone") }), clientOf({ token }, 1)];
    const { logouts } = watch(laptop);
    await Promise.all([phone.connect(), laptop.connect()]);
    await phone.logout({ session: "laptop" });
    await eventually("out", () => laptop.state === "closed");
    expect(logouts).toEqual([2]);
    await expect(phone.logout({ session: "laptop" })).rejects.toMatchObject({ code: 404 });
    await laptop.connect();
    expect(laptop.state).toBe("online");
  });

  test("of this device: it ends, once, and its token is refused from then on", async () => {
    const token = await tokenOf("hal", "phone");
    const phone = clientOf({ token });
    const seen = watch(phone);
    await phone.connect();
    await phone.logout();
    expect([phone.state, seen.errors, seen.logouts]).toEqual(["closed", [], []]);
    await expect(clientOf({ token }, 1).connect()).rejects.toMatchObject({
      code: 401,
      details: expect.stringMatching(/revoked/),
    });
  });

  test("everywhere: all of ten devices on two gateways, also those that renew their tokens", async () => {
    const made = Array.from({ length: 10 }, (_, n) => clientOf({ token: () => tokenOf("ida", `d${n}`) }, n % 2));
    const other = clientOf({ token: await tokenOf("jo", "phone") });
    await Promise.all([other, ...made].map((client) => client.connect()));
    expect(await made[0]?.sessions()).toHaveLength(10);
    const beganMs = performance.now();
    await made[0]?.logout({ everywhere: true });
    await eventually("all are out", () => made.every(({ state }) => state === "closed"));
    expect(performance.now() - beganMs).toBeLessThan(1_000);
    await other.ping();
  });

  test("in the middle of sends: what has no end yet fails or stays in the store, and goes out after the next login", async () => {
    const store = memoryStore();
    const phone = clientOf({ token: await tokenOf("kim", "phone"), store });
    const seen = watch(phone);
    await phone.connect();
    const sending = Promise.allSettled(
      Array.from({ length: 400 }, (_, n) => phone.send({ to: "leo", text: `t${n}`, id: `m${n}` })),
    );
    await phone.send({ to: "leo", text: "first", id: "first" });
    await phone.logout();
    const outcomes = await sending;
    expect([phone.state, seen.errors]).toEqual(["closed", []]);
    // Tokens of the same second are refused as well.
    await passed(Math.floor(Date.now() / 1_000) * 1_000 + 1_000);
    const again = clientOf({ token: await tokenOf("kim", "phone"), store });
    await again.connect();
    await eventually("all went", () => again.outgoing("m399", "leo")?.state !== "queued");
    const leo = clientOf({ token: await tokenOf("leo", "phone") });
    const { texts } = watch(leo);
    await leo.connect();
    await eventually("all came", () => texts.length === 401);
    expect(new Set(texts).size).toBe(401);
    expect(texts.filter((text) => text !== "first")).toEqual(Array.from({ length: 400 }, (_, n) => `t${n}`));
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: 503 });
    }
  });

  test("of others: only with the scope admin", async () => {
    const phone = clientOf({ token: await tokenOf("mia", "phone") });
    const admin = clientOf({ token: await tokenOf("ops", "console", { scope: "admin" }) }, 1);
    await Promise.all([phone.connect(), admin.connect()]);
    await expect(phone.logout({ eid: "ops", everywhere: true })).rejects.toMatchObject({ code: 403 });
    await phone.ping();
    await admin.logout({ eid: "mia", everywhere: true });
    await eventually("out", () => phone.state === "closed");
    expect(admin.state).toBe("online");
  });
});

test("revoke() and validate(): by id, by token, by device, own and others'", async () => {
  const laptopToken = await tokenOf("nia", "laptop");
  const phone = clientOf({ token: await tokenOf("nia", "phone") });
  const laptop = clientOf({ token: laptopToken }, 1);
  const seen = watch(laptop);
  await Promise.all([phone.connect(), laptop.connect()]);
  expect(await phone.validate(laptopToken)).toMatchObject({ valid: true, eid: "nia", device: "laptop" });
  await phone.revoke({ token: laptopToken });
  await eventually("out", () => laptop.state === "closed");
  expect(seen.errors).toEqual([expect.stringMatching(/^401 .*revoked/)]);
  expect(await phone.validate(laptopToken)).toEqual({ valid: false, details: expect.stringContaining("revoked") });
  const foreign = await tokenOf("otto", "phone");
  await expect(phone.validate(foreign)).rejects.toMatchObject({ code: 403 });
  await expect(phone.revoke({ token: foreign })).rejects.toMatchObject({ code: 403 });
  await expect(phone.revoke({ jti: "somebody's" })).rejects.toMatchObject({ code: 403 });
  await expect(phone.revoke({ device: "tv" })).rejects.toMatchObject({ code: 404 });
  await phone.revoke({ device: "laptop" });
  const own = await phone.validate();
  await phone.revoke({ jti: own.valid ? own.jti : "" });
  await eventually("out", () => phone.state === "closed");
});
