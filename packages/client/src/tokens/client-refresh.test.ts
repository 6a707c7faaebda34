// Refresh tokens against a gateway of this process.
import { type TokenAuthority, TokenTask } from "@bimip/protocol";
import { describe, expect, it, vi } from "vitest";
import { ALICE, browserLikeSockets, catchUncaught, errorsOf, messagesOf, useClients } from "../../test-kit/clients.js";
import { fakeToken, readFakeToken } from "../../test-kit/fake-tokens.js";
import type { SavedTokens, Tokens, TokenStore } from "./token-store.js";

const clients = useClients();
// Long enough for a busy machine: what is renewed in the last fifth must not come too late.
const LIFETIME_MS = 1_500;
vi.setConfig({ testTimeout: 20_000 });
const LONG = { timeout: 10_000 };

/** A store in memory that notes what it does. */
function storeOf(saved?: SavedTokens) {
  const notes: string[] = [];
  const store = {
    saved,
    notes,
    load: () => store.saved,
    save: async (tokens: Tokens | undefined): Promise<void> => {
      notes.push(tokens === undefined ? "deleted" : `kept ${generationOf(tokens.refreshToken)}`);
      store.saved = tokens;
    },
  };
  return store satisfies TokenStore;
}

const generationOf = (refreshToken: string): number => readFakeToken(refreshToken).generation ?? 0;
const refreshes = (): TokenAuthority[] =>
  clients.gateway.account.asked.filter(({ task }) => task === TokenTask.REFRESH);
/** Generations of the refresh tokens that came, in order; 0 = begin a family. */
const asked = (): number[] =>
  refreshes().map(({ refreshToken }) => (refreshToken === "" ? 0 : generationOf(refreshToken)));

describe.each([
  ["Node", {}],
  ["a browser", { socket: browserLikeSockets }],
])("in %s", (_name, options) => {
  it("begins with REFRESH and renews on the open connection for three lifetimes", async () => {
    const { gateway } = clients;
    gateway.account.lifetimeMs = LIFETIME_MS;
    const { refreshToken } = gateway.account.login(ALICE, "laptop");
    const alice = clients.of(ALICE, { refreshToken, ...options });
    const [told, states, messages, errors] = [[] as Tokens[], [] as string[], messagesOf(alice), errorsOf(alice)];
    alice.on("tokens", (tokens) => told.push(tokens));
    alice.on("state", (state) => states.push(state));
    await alice.connect();
    await vi.waitFor(() => expect(told.length).toBeGreaterThan(4), LONG);
    gateway.put(ALICE, "hello");
    await vi.waitFor(() => expect(messages).toHaveLength(1));
    expect([states, errors]).toEqual([["connecting", "replaying", "online"], []]);
    expect(gateway.tokens).toEqual([refreshToken]);
    expect(asked().slice(0, 5)).toEqual([1, 2, 3, 4, 5]);
    expect(told.map((tokens) => generationOf(tokens.refreshToken)).slice(0, 4)).toEqual([2, 3, 4, 5]);
    expect(told[0]?.expiresAt).toBe(Math.floor(readFakeToken(told[0]?.token ?? "").expiresAtMs ?? 0));
  });

  it("uses the access token while it is good, and REFRESH after", async () => {
    const { gateway } = clients;
    const { token, refreshToken } = gateway.account.login(ALICE, "laptop");
    const alice = clients.of(ALICE, { token, refreshToken, ...options });
    await alice.connect();
    expect([gateway.tokens, asked()]).toEqual([[token], []]);
    const expired = fakeToken(ALICE, "laptop", -1);
    const second = clients.of(ALICE, { token: expired, refreshToken, ...options });
    await second.connect();
    expect([gateway.tokens.slice(1), asked()]).toEqual([[refreshToken], [1]]);
  });

  it("goes from a token that is refused to REFRESH", async () => {
    const { gateway } = clients;
    const { token, refreshToken } = gateway.account.login(ALICE, "laptop");
    gateway.account.revoked.set(readFakeToken(token).jti ?? "", 1);
    const alice = clients.of(ALICE, { token, refreshToken, ...options });
    alice.on("tokens", () => undefined);
    const errors = errorsOf(alice);
    await alice.connect();
    expect([gateway.tokens, errors]).toEqual([[token, refreshToken], []]);
  });

  it("ends with 401 when the refresh token is refused, and does not come back", async () => {
    const { gateway } = clients;
    const { refreshToken } = gateway.account.login(ALICE, "laptop");
    gateway.account.revoke(ALICE, "laptop");
    const store = storeOf({ refreshToken });
    const alice = clients.of(ALICE, { refreshToken: store, ...options });
    const errors = errorsOf(alice);
    await expect(alice.connect()).rejects.toMatchObject({ code: 401, details: "refresh_token: was revoked" });
    expect([alice.state, errors, gateway.tokens.length]).toEqual(["closed", ["401 refresh_token: was revoked"], 1]);
    await vi.waitFor(() => expect(store.notes).toEqual(["deleted"]));
    await expect(alice.connect()).rejects.toMatchObject({ code: 401, details: expect.stringContaining("no token") });
  });
});

it("ends with 401 when the refresh token is refused on the open connection", async () => {
  const { gateway } = clients;
  gateway.account.lifetimeMs = LIFETIME_MS;
  const store = storeOf(gateway.account.login(ALICE, "laptop"));
  const alice = clients.of(ALICE, { refreshToken: store });
  const errors = errorsOf(alice);
  await alice.connect();
  gateway.account.fate = () => ({ error: "refresh_token: was used before, all tokens of the device are revoked" });
  const sending = alice.send({ to: ALICE, text: "fine" });
  await sending;
  await vi.waitFor(() => expect(alice.state).toBe("closed"), LONG);
  expect(errors).toEqual(["401 refresh_token: was used before, all tokens of the device are revoked"]);
  expect(gateway.tokens).toHaveLength(1);
  await vi.waitFor(() => expect(store.notes).toEqual(["deleted"]));
});

describe("a lost answer", () => {
  it("on the open connection is asked for again with the same refresh token", async () => {
    const { gateway } = clients;
    gateway.account.lifetimeMs = 2 * LIFETIME_MS;
    const store = storeOf(gateway.account.login(ALICE, "laptop"));
    const alice = clients.of(ALICE, { refreshToken: store, queryTimeoutMs: 100 });
    const errors = errorsOf(alice);
    await alice.connect();
    const fates = ["ignore" as const];
    gateway.account.fate = () => fates.shift() ?? "answer";
    await vi.waitFor(() => expect(store.notes).toEqual(["kept 2"]), LONG);
    expect(asked()).toEqual([1, 1]);
    expect(errors).toEqual(["408 token_authority: no answer within 100 ms"]);
    expect(gateway.tokens).toHaveLength(1);
  });

  it("with the connection too", async () => {
    const { gateway } = clients;
    const store = storeOf({ refreshToken: gateway.account.login(ALICE, "laptop").refreshToken });
    const alice = clients.of(ALICE, { refreshToken: store });
    const fates = ["ignore" as const];
    gateway.account.fate = () => fates.shift() ?? "answer";
    await alice.connect();
    expect(asked()).toEqual([1, 1]);
    expect(store.notes).toEqual(["kept 2"]);
    expect(alice.state).toBe("online");
  });

  it("never leads to an older refresh token than the newest that is known", async () => {
    const { gateway } = clients;
    gateway.account.lifetimeMs = LIFETIME_MS / 2;
    const store = storeOf(gateway.account.login(ALICE, "laptop"));
    const alice = clients.of(ALICE, { refreshToken: store, queryTimeoutMs: 100 });
    let count = 0;
    // Every third answer is lost, every fifth with its connection.
    gateway.account.fate = () => {
      count++;
      if (count % 5 === 0) gateway.drop();
      return count % 3 === 0 ? "ignore" : "answer";
    };
    await alice.connect();
    await vi.waitFor(() => expect(count).toBeGreaterThan(16), LONG);
    await alice.close();
    const generations = asked();
    expect(generations).toEqual(generations.toSorted((a, b) => a - b));
    expect(generations.at(-1)).toBeGreaterThan(6);
  });
});

describe("what replaced a refresh token", () => {
  it("is kept before it is used, however often that fails", async () => {
    const { gateway } = clients;
    gateway.account.lifetimeMs = LIFETIME_MS;
    const store = storeOf(gateway.account.login(ALICE, "laptop"));
    const { save } = store;
    let failures = 5;
    store.save = async (tokens) => {
      expect(asked().at(-1)).toBeLessThan(generationOf(tokens?.refreshToken ?? ""));
      if (failures-- > 0) throw new Error("disk full");
      return save(tokens);
    };
    const alice = clients.of(ALICE, { refreshToken: store });
    const errors = errorsOf(alice);
    await alice.connect();
    const first = alice.refresh();
    // Asked for while the first is not kept yet, it waits.
    expect(generationOf((await first).refreshToken)).toBe(2);
    expect(generationOf((await alice.refresh()).refreshToken)).toBe(3);
    expect(errors).toEqual(Array.from({ length: 5 }, () => "500 the tokens cannot be kept: disk full"));
    await alice.close();
    expect(store.notes.slice(0, 2)).toEqual(["kept 2", "kept 3"]);
  });

  it("waits for a handler's promise, and comes again to one that failed", async () => {
    const uncaught = catchUncaught();
    const { gateway } = clients;
    const alice = clients.of(ALICE, gateway.account.login(ALICE, "laptop"));
    let failures = 2;
    const kept: number[] = [];
    alice.on("tokens", async ({ refreshToken }) => {
      expect(asked().at(-1)).toBeLessThan(generationOf(refreshToken));
      if (failures-- > 0) throw new Error("no room");
      kept.push(generationOf(refreshToken));
    });
    await alice.connect();
    await alice.refresh();
    await alice.refresh();
    await vi.waitFor(() => expect(kept).toEqual([2, 3]));
    expect(uncaught).toHaveLength(2);
  });

  it("is missed by nobody without a word", async () => {
    const { gateway } = clients;
    const alice = clients.of(ALICE, gateway.account.login(ALICE, "laptop"));
    const errors = errorsOf(alice);
    await alice.connect();
    await alice.refresh();
    await vi.waitFor(() => expect(errors).toEqual([expect.stringContaining("nobody keeps the new refresh token")]));
  });

  it("is not forgotten by close() and connect() while it is not kept", async () => {
    const { gateway } = clients;
    const store = storeOf(gateway.account.login(ALICE, "laptop"));
    const { save } = store;
    store.save = () => Promise.reject(new Error("disk full"));
    const alice = clients.of(ALICE, { refreshToken: store });
    await alice.connect();
    await alice.refresh();
    await alice.close();
    store.save = save;
    await alice.connect();
    await alice.refresh();
    await vi.waitFor(() => expect(store.notes).toEqual(["kept 2", "kept 3"]));
    expect(asked()).toEqual([1, 2]);
  });
});

it("connect() takes what another client has put into the store meanwhile", async () => {
  const { gateway } = clients;
  const store = storeOf(gateway.account.login(ALICE, "laptop"));
  const [old, young] = [clients.of(ALICE, { refreshToken: store }), clients.of(ALICE, { refreshToken: store })];
  await old.connect();
  await old.close();
  await young.connect();
  await young.refresh();
  await young.refresh();
  await young.close();
  await old.connect();
  await old.refresh();
  expect(asked()).toEqual([1, 2, 3]);
});

describe("a family", () => {
  const token = () => fakeToken(ALICE, "laptop", 60_000, { scope: "refresh push" });

  it("is begun for an empty store, and goes on in the next process", async () => {
    const { gateway } = clients;
    gateway.account.lifetimeMs = LIFETIME_MS;
    const store = storeOf();
    const first = clients.of(ALICE, { token, refreshToken: store });
    await first.connect();
    await vi.waitFor(() => expect(store.notes).toContain("kept 2"), LONG);
    await first.close();
    expect(gateway.tokens).toHaveLength(1);
    const { refreshToken = "" } = store.saved ?? {};
    store.saved = { refreshToken };
    const second = clients.of(ALICE, { token: () => expect.unreachable("a token is asked for"), refreshToken: store });
    await second.connect();
    expect(gateway.tokens.slice(1)).toEqual([refreshToken]);
    expect(asked().slice(0, 2)).toEqual([0, 1]);
  });

  it("is begun by hand", async () => {
    const { gateway } = clients;
    gateway.account.lifetimeMs = LIFETIME_MS;
    const alice = clients.of(ALICE, { token: token() });
    const told: number[] = [];
    alice.on("tokens", ({ refreshToken }) => told.push(generationOf(refreshToken)));
    const early = alice.refresh();
    await alice.connect();
    const [one, other] = await Promise.all([early, alice.refresh()]);
    expect(generationOf(one.refreshToken)).toBe(1);
    expect(other.refreshToken).toBe(one.refreshToken);
    await vi.waitFor(() => expect(told).toContain(2), LONG);
    expect(gateway.tokens).toHaveLength(1);
  });

  it("cannot be begun everywhere: the token function is asked as ever", async () => {
    const { gateway } = clients;
    gateway.account.fate = ({ task }) =>
      task === TokenTask.REFRESH
        ? { code: 403, details: "token_authority.task: this broker makes no tokens" }
        : "answer";
    const given: string[] = [];
    const ask = (): string => {
      given.push(fakeToken(ALICE, "laptop", LIFETIME_MS));
      return given.at(-1) ?? "";
    };
    const alice = clients.of(ALICE, { token: ask, refreshToken: storeOf() });
    const errors = errorsOf(alice);
    await alice.connect();
    await vi.waitFor(() => expect(given.length).toBeGreaterThan(2), LONG);
    expect([errors, gateway.tokens.length]).toEqual([["403 token_authority.task: this broker makes no tokens"], 1]);
    await expect(alice.refresh()).rejects.toMatchObject({ code: 403 });
  });
});

it("a first frame that is answered with 403 ends the client, with 503 it is tried again", async () => {
  const { gateway } = clients;
  const { refreshToken } = gateway.account.login(ALICE, "laptop");
  const fates = [503, { code: 429, details: "try again in 0.1 s" }, 403];
  gateway.account.fate = () => fates.shift() ?? "answer";
  const alice = clients.of(ALICE, { refreshToken });
  const errors = errorsOf(alice);
  await expect(alice.connect()).rejects.toMatchObject({ code: 403 });
  expect(errors).toEqual(["503 fate 503", "429 try again in 0.1 s", "403 fate 403"]);
});

it("the store that cannot be read ends the client with 500", async () => {
  const store: TokenStore = { load: () => Promise.reject(new Error("locked")), save: () => undefined };
  const alice = clients.of(ALICE, { refreshToken: store });
  await expect(alice.connect()).rejects.toMatchObject({ code: 500, details: "the tokens cannot be read: locked" });
});

it("refresh() does not wait for ever", async () => {
  const { gateway } = clients;
  const alice = clients.of(ALICE, { ...gateway.account.login(ALICE, "laptop"), queryTimeoutMs: 80 });
  await expect(alice.refresh()).rejects.toMatchObject({ code: 503 });
  gateway.account.fate = () => "ignore";
  await alice.connect();
  await expect(alice.refresh()).rejects.toMatchObject({ code: 408 });
  const open = expect(alice.refresh()).rejects.toMatchObject({ code: 503 });
  await alice.close();
  await open;
  await expect(alice.refresh()).rejects.toMatchObject({ code: 503, details: "the client is closed" });
});
