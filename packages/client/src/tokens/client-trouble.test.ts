// Tokens where the application, its store, or what is on the way to the server misbehaves.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import {
  BimipError,
  encodeStanza,
  LogoutSchema,
  LogoutStatus,
  LogoutType,
  type TokenAuthority,
  TokenTask,
} from "@bimip/protocol";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { ALICE, errorsOf, next, useClients } from "../../test-kit/clients.js";
import { errorFrame } from "../../test-kit/fake-frames.js";
import { fakeToken, readFakeToken } from "../../test-kit/fake-tokens.js";
import { createClient } from "../client.js";
import type { SavedTokens, Tokens } from "./token-store.js";

const clients = useClients();

const refreshes = (): TokenAuthority[] =>
  clients.gateway.account.asked.filter(({ task }) => task === TokenTask.REFRESH);
const asked = (): number[] => refreshes().map(({ refreshToken }) => readFakeToken(refreshToken).generation ?? 0);

/** A store in memory. */
function storeOf(saved?: SavedTokens) {
  const store = {
    saved,
    load: () => store.saved,
    save: async (tokens: Tokens | undefined): Promise<void> => {
      store.saved = tokens;
    },
  };
  return store;
}

describe("a token function", () => {
  it("that fails with a BimipError is asked again, as with any other error", async () => {
    const fates = [new BimipError(503, "another client's"), new BimipError(401, "another client's")];
    const token = async (): Promise<string> => {
      const fate = fates.shift();
      if (fate !== undefined) throw fate;
      return fakeToken(ALICE, "laptop", 60_000);
    };
    const alice = clients.of(ALICE, { token });
    const errors = errorsOf(alice);
    await alice.connect();
    expect(errors).toEqual(["503 no token could be had", "503 no token could be had"]);
  });

  it("that gives none ends the client with 401, before anything is sent", async () => {
    const alice = clients.of(ALICE, { token: () => "" });
    await expect(alice.connect()).rejects.toMatchObject({ code: 401, details: "token: the token function gave none" });
    expect(clients.gateway.tokens).toEqual([]);
  });
});

it("an empty text is no token", () => {
  const { url } = clients.gateway;
  expect(() => createClient({ url, token: "" })).toThrow("token: is missing");
  expect(() => createClient({ url, refreshToken: "" })).toThrow("token: is missing");
});

describe("a refresh token", () => {
  it("outlives an HTTP 401 of something that is on the way to the server", async () => {
    const { gateway } = clients;
    const { refreshToken } = gateway.account.login(ALICE, "laptop");
    const store = storeOf({ refreshToken });
    let answered = 0;
    const proxy = createServer().on("upgrade", (_request, socket) => {
      answered++;
      socket.end("HTTP/1.1 401 Unauthorized\r\nContent-Length: 12\r\nConnection: close\r\n\r\nlog in first");
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void proxy.close());
    const url = `ws://127.0.0.1:${(proxy.address() as AddressInfo).port}/v1/ws`;
    const alice = clients.of(ALICE, { refreshToken: store, url });
    alice.connect().catch(() => undefined);
    await vi.waitFor(() => expect(answered).toBeGreaterThan(1));
    expect(alice.state).not.toBe("closed");
    expect(store.saved).toEqual({ refreshToken });
  });

  it("that another tab has used meanwhile is not used again", async () => {
    const { gateway } = clients;
    gateway.account.lifetimeMs = 300;
    const store = storeOf(gateway.account.login(ALICE, "laptop"));
    const frozen = clients.of(ALICE, { refreshToken: store, reconnect: { minDelayMs: 400, jitter: 0 } });
    await frozen.connect();
    const offline = next(frozen, "offline");
    gateway.drop();
    await offline;
    const other = clients.of(ALICE, { refreshToken: store });
    await other.connect();
    for (let n = 0; n < 3; n++) await other.refresh();
    await other.close();
    await next(frozen, "online");
    const generations = asked();
    expect(generations).toEqual([...new Set(generations)]);
  });

  it("is not needed for a connection while the access token is good", async () => {
    const { gateway } = clients;
    const store = storeOf(gateway.account.login(ALICE, "laptop"));
    store.save = () => Promise.reject(new Error("disk full"));
    const alice = clients.of(ALICE, { refreshToken: store });
    await alice.connect();
    const { token } = await alice.refresh();
    const online = next(alice, "online");
    gateway.drop();
    await online;
    expect(gateway.tokens.at(-1)).toBe(token);
  });
});

it("close() waits for what replaces a refresh token that was used, but not for ever", async () => {
  const { gateway } = clients;
  const store = storeOf(gateway.account.login(ALICE, "laptop"));
  const alice = clients.of(ALICE, { refreshToken: store, closeTimeoutMs: 50 });
  await alice.connect();
  let closing: Promise<void> | undefined;
  gateway.account.fate = () => {
    closing ??= alice.close();
    return "answer";
  };
  await alice.refresh();
  await closing;
  expect(readFakeToken(store.saved?.refreshToken ?? "").generation).toBe(2);
  closing = undefined;
  await alice.connect();
  gateway.account.fate = () => {
    closing ??= alice.close();
    return "ignore";
  };
  await expect(alice.refresh()).rejects.toMatchObject({ code: 503, details: "the client was closed" });
  await vi.waitFor(() => expect(alice.state).toBe("closed"));
});

it("what replaces tokens that are being deleted is kept, and those are not used again", async () => {
  const { gateway } = clients;
  const { refreshToken } = gateway.account.login(ALICE, "laptop");
  gateway.account.revoke(ALICE, "laptop");
  const store = storeOf({ refreshToken });
  const { save } = store;
  let deleted = (): void => undefined;
  const deleting = new Promise<void>((resolve) => (deleted = resolve));
  store.save = async (tokens) => {
    if (tokens === undefined) await deleting;
    return save(tokens);
  };
  const token = () => fakeToken(ALICE, "laptop", 60_000, { scope: "refresh" });
  const alice = clients.of(ALICE, { token, refreshToken: store });
  await expect(alice.connect()).rejects.toMatchObject({ code: 401 });
  // The user has logged in again, sooner than the store is through.
  gateway.account.revoked.clear();
  const connected = alice.connect();
  await alice.refresh();
  deleted();
  await connected;
  await alice.refresh();
  expect(asked()).toEqual([1, 0, 1]);
  await alice.close();
  expect(readFakeToken(store.saved?.refreshToken ?? "").generation).toBe(2);
});

it("a cursor that came too fast is told again, also while a logout() waits", async () => {
  const { gateway } = clients;
  const alice = clients.of(ALICE, { token: fakeToken(ALICE, "laptop", 60_000) });
  alice.on("message", () => undefined);
  await alice.connect();
  gateway.account.logoutFate = () => ({ code: 503, details: "logout: try again in 30 s" });
  const leaving = alice.logout({ device: "old" }).catch(() => undefined);
  await vi.waitFor(() => expect(gateway.account.logouts).toHaveLength(1));
  const index = gateway.put(ALICE, "hello");
  await vi.waitFor(() => expect(gateway.cursors.get(`${ALICE}/laptop`)).toBe(index));
  gateway.cursors.clear();
  const tooFast = errorFrame({ code: 429, details: "signal: more than 50 a second, try again in 0.01 s" }, "");
  for (const { socket } of gateway.sessions) socket.send(tooFast);
  await vi.waitFor(() => expect(gateway.cursors.get(`${ALICE}/laptop`)).toBe(index));
  await alice.close();
  await leaving;
});

describe("the answer to a logout() that was given up", () => {
  const { SUCCESS, FAILED } = LogoutStatus;
  it.each([
    ["of another device, done", { to: { eid: ALICE, connectionResourceId: "old" }, status: SUCCESS }],
    ["of another device, failed", { to: { eid: ALICE, connectionResourceId: "old" }, status: FAILED }],
    ["of this device, failed", { to: { eid: ALICE, connectionResourceId: "laptop" }, status: FAILED }],
  ] satisfies [string, MessageInitShape<typeof LogoutSchema>][])(
    "%s: is not taken for one's own",
    async (_name, init) => {
      const { gateway } = clients;
      const tokens = gateway.account.login(ALICE, "laptop");
      const store = storeOf(tokens);
      const alice = clients.of(ALICE, { refreshToken: store, queryTimeoutMs: 30 });
      const logouts: unknown[] = [];
      alice.on("logout", (logout) => logouts.push(logout));
      await alice.connect();
      gateway.account.logoutFate = () => ({ code: 503, details: "logout: try again" });
      await expect(alice.logout({ device: "old" })).rejects.toThrow();
      const late = encodeStanza("logout", create(LogoutSchema, { type: LogoutType.DEVICE, ...init }));
      for (const { socket } of gateway.sessions) socket.send(late);
      await alice.ping();
      expect([logouts, store.saved]).toEqual([[], tokens]);
      const online = next(alice, "online");
      gateway.drop();
      await online;
    },
  );

  it("is not taken for that of the next", async () => {
    const { gateway } = clients;
    const alice = clients.of(ALICE, { token: fakeToken(ALICE, "laptop", 60_000) });
    await alice.connect();
    gateway.account.logoutFate = () => ({ code: 429, details: "logout: try again in 0.2 s" });
    let done = false;
    const second = alice.logout({ device: "tv" }).then(() => (done = true));
    await vi.waitFor(() => expect(gateway.account.logouts).toHaveLength(1));
    const to = { eid: ALICE, connectionResourceId: "old" };
    const late = encodeStanza("logout", create(LogoutSchema, { type: LogoutType.DEVICE, to, status: SUCCESS }));
    for (const { socket } of gateway.sessions) socket.send(late);
    await alice.ping();
    expect(done).toBe(false);
    gateway.account.logoutFate = () => "answer";
    await second;
  });
});
