// Sessions, logout, revocation and validation against a gateway of this process.
import { encodeStanza, LogoutSchema } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it, vi } from "vitest";
import { ALICE, BOB, browserLikeSockets, errorsOf, next, useClients } from "../../test-kit/clients.js";
import { fakeToken, readFakeToken } from "../../test-kit/fake-tokens.js";
import type { BimipClient } from "../bimip-client.js";
import type { ClientOptions } from "../client-options.js";
import { memoryStore } from "../memory-store.js";
import type { Tokens } from "./token-store.js";

const clients = useClients();

/** Connected, with a token that says when it was issued. */
async function connected(device: string, options: Partial<ClientOptions> = {}, eid = ALICE): Promise<BimipClient> {
  const client = clients.of(eid, { token: fakeToken(eid, device, 60_000), ...options });
  await client.connect();
  return client;
}

const devices = () => [...clients.gateway.sessions].map(({ eid, device }) => `${eid}/${device}`);

it("lists the open sessions of the account", async () => {
  const [phone] = await Promise.all([connected("phone"), connected("laptop"), connected("phone", {}, BOB)]);
  const sessions = await phone.sessions();
  expect(sessions).toHaveLength(2);
  expect(sessions.find(({ device }) => device === "phone")).toEqual({
    device: "phone",
    node: "fake",
    since: 1_000,
    lastSeen: expect.any(Number),
    address: "127.0.0.1",
    current: true,
  });
  expect(sessions.find(({ device }) => device === "laptop")).toMatchObject({ current: false });
});

describe("logout()", () => {
  it.each([
    ["of this device", {}, 1],
    ["of this device by its name", { device: "phone" }, 1],
    ["of this session", { session: "phone" }, 2],
    ["of all devices", { everywhere: true }, 3],
  ])("%s ends this client, which does not come back", async (_name, options, type) => {
    const token = vi.fn(() => fakeToken(ALICE, "phone", 60_000));
    const phone = await connected("phone", { token });
    const [errors, logouts] = [errorsOf(phone), [] as string[]];
    phone.on("logout", ({ details }) => logouts.push(details));
    await phone.logout(options);
    expect([phone.state, errors, logouts, token.mock.calls.length]).toEqual(["closed", [], [], 1]);
    expect(clients.gateway.account.logouts).toMatchObject([{ type, status: 0 }]);
    await vi.waitFor(() => expect(devices()).toEqual([]));
    await expect(phone.logout()).rejects.toMatchObject({ code: 503, details: "the client is closed" });
  });

  it("everywhere ends the others, for good even where a token function would give new ones", async () => {
    const token = vi.fn(() => fakeToken(ALICE, "laptop", 60_000));
    const [phone, laptop] = [await connected("phone"), await connected("laptop", { token })];
    const bob = await connected("phone", {}, BOB);
    const [errors, logouts] = [errorsOf(laptop), [] as number[]];
    laptop.on("logout", ({ type }) => logouts.push(type));
    await phone.logout({ everywhere: true });
    await vi.waitFor(() => expect(laptop.state).toBe("closed"));
    expect(errors).toEqual(["401 logged out: the tokens were revoked"]);
    expect([logouts, token.mock.calls.length, bob.state]).toEqual([[3], 1, "online"]);
    // The application may log in again.
    await laptop.connect();
    expect(laptop.state).toBe("online");
  });

  it.each([
    ["device", { device: "laptop" }],
    ["session", { session: "laptop" }],
  ])("of another %s leaves this client running", async (_name, options) => {
    const [phone, laptop] = [await connected("phone"), await connected("laptop")];
    const [states, logouts] = [[] as string[], [] as string[]];
    phone.on("state", (state) => states.push(state));
    phone.on("logout", ({ details }) => logouts.push(details));
    await phone.logout(options);
    await vi.waitFor(() => expect(laptop.state).toBe("closed"));
    clients.gateway.close(1012);
    await next(phone, "online");
    expect([states, logouts, devices()]).toEqual([
      ["offline", "connecting", "replaying", "online"],
      [],
      [`${ALICE}/phone`],
    ]);
  });

  it("rejects with what the server says, and nothing has changed", async () => {
    const { account } = clients.gateway;
    // Not so soon that the time is over between the question and its answer.
    const reconnect = { minDelayMs: 5_000, jitter: 0 };
    const phone = await connected("phone", { queryTimeoutMs: 200, reconnect });
    await expect(phone.logout({ session: "watch" })).rejects.toMatchObject({ code: 404 });
    account.logoutFate = () => ({ code: 403, details: "logout.to.eid: is another account's" });
    const foreign = phone.logout({ eid: BOB, everywhere: true });
    await expect(foreign).rejects.toMatchObject({ code: 403, details: "logout.to.eid: is another account's" });
    account.logoutFate = () => ({ failed: "503: the router does not answer" });
    await expect(phone.logout()).rejects.toMatchObject({ code: 503, details: "the router does not answer" });
    expect([phone.state, devices()]).toEqual(["online", [`${ALICE}/phone`]]);
  });

  it("asks again after 429 and 503, and one after the other", async () => {
    const { account } = clients.gateway;
    const fates = [429, { code: 503, details: "try again in 0.02 s" }, { failed: "503: the router does not answer" }];
    account.logoutFate = () => fates.shift() ?? "answer";
    const phone = await connected("phone");
    await Promise.all([connected("laptop"), connected("watch")]);
    await Promise.all([phone.logout({ device: "laptop" }), phone.logout({ device: "watch" })]);
    expect(account.logouts.map(({ to }) => to?.connectionResourceId)).toEqual([
      "laptop",
      "laptop",
      "laptop",
      "laptop",
      "watch",
    ]);
    await vi.waitFor(() => expect(devices()).toEqual([`${ALICE}/phone`]));
  });

  it("is done when the answer was lost and the token is refused", async () => {
    clients.gateway.account.logoutFate = () => "ignore";
    const phone = await connected("phone");
    await phone.logout();
    expect(phone.state).toBe("closed");
    expect(clients.gateway.tokens).toHaveLength(2);
  });

  it("in the middle of sends: each of them has an end, what is stored is kept for the next login", async () => {
    const { gateway } = clients;
    const store = memoryStore();
    const phone = await connected("phone", { store });
    gateway.fate = () => (gateway.received.length > 40 ? "ignore" : "store");
    const sending = Promise.allSettled(Array.from({ length: 100 }, (_, n) => phone.send({ to: BOB, text: `t${n}` })));
    await vi.waitFor(() => expect(gateway.received.length).toBeGreaterThan(60));
    await phone.logout();
    const outcomes = await sending;
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(40);
    expect(outcomes.find(({ status }) => status === "rejected")).toMatchObject({ reason: { code: 503 } });
    expect([phone.state, gateway.tokens.length]).toEqual(["closed", 1]);
    gateway.fate = () => "store";
    const again = await connected("phone", { store });
    await vi.waitFor(() => expect(gateway.texts(BOB)).toHaveLength(100));
    expect(gateway.texts(BOB)).toEqual(Array.from({ length: 100 }, (_, n) => `t${n}`));
    expect(again.state).toBe("online");
  });

  it("deletes the tokens that are kept, unless they stay good", async () => {
    const { gateway } = clients;
    let saved: Tokens | undefined;
    const refreshToken = {
      load: () => saved ?? gateway.account.login(ALICE, "phone"),
      save: (tokens?: Tokens) => void (saved = tokens),
    };
    const phone = clients.of(ALICE, { refreshToken });
    await phone.connect();
    await phone.refresh();
    await phone.logout({ session: "phone" });
    expect(saved).toBeDefined();
    await phone.connect();
    await phone.logout();
    expect(saved).toBeUndefined();
  });

  it.each([
    ["a device's logout", true],
    ["a session's end", false],
  ])("from elsewhere: %s deletes them or not", async (_name, deletes) => {
    const { gateway } = clients;
    let saved: Tokens | undefined;
    const refreshToken = {
      load: () => saved ?? gateway.account.login(ALICE, "phone"),
      save: (tokens?: Tokens) => void (saved = tokens),
    };
    const phone = clients.of(ALICE, { refreshToken });
    await phone.connect();
    await phone.refresh();
    const laptop = await connected("laptop");
    await laptop.logout(deletes ? { device: "phone" } : { session: "phone" });
    await vi.waitFor(() => expect(phone.state).toBe("closed"));
    await vi.waitFor(() => expect(saved === undefined).toBe(deletes));
  });

  it("throws a 422 for options that exclude each other", async () => {
    const phone = await connected("phone");
    for (const options of [{ device: "a", everywhere: true }, { device: "a", session: "b" }, { eid: BOB }]) {
      await expect(phone.logout(options)).rejects.toMatchObject({ code: 422, field: "logout" });
    }
    expect(clients.gateway.account.logouts).toEqual([]);
  });
});

it("a session that is ended from elsewhere stays ended", async () => {
  const token = vi.fn(() => fakeToken(ALICE, "phone", 60_000));
  const phone = await connected("phone", { token, socket: browserLikeSockets });
  const errors = errorsOf(phone);
  const logout = create(LogoutSchema, { to: { eid: ALICE, connectionResourceId: "phone" }, type: 2, status: 1 });
  clients.gateway.broadcast(encodeStanza("logout", logout));
  clients.gateway.close(4401, "logged out");
  await vi.waitFor(() => expect(phone.state).toBe("closed"));
  expect([errors, token.mock.calls.length]).toEqual([["401 logged out"], 1]);
});

describe("revoke() and validate()", () => {
  it("say what they are to say", async () => {
    const { account } = clients.gateway;
    const phone = await connected("phone");
    await phone.revoke({ jti: "j1", expiresAt: 5.5 });
    const foreign = fakeToken(BOB, "tv");
    await phone.revoke({ token: foreign });
    await phone.revoke({ device: "tv" });
    await phone.revoke({ eid: BOB });
    await phone.revoke({ eid: BOB, device: "tv" });
    const told = account.asked.map(({ jti, expiresAt, token, to }) => [
      jti,
      expiresAt,
      token,
      to?.eid,
      to?.connectionResourceId,
    ]);
    expect(told).toEqual([
      ["j1", 6n, "", undefined, undefined],
      ["", 0n, foreign, undefined, undefined],
      ["", 0n, "", ALICE, "tv"],
      ["", 0n, "", BOB, undefined],
      ["", 0n, "", BOB, "tv"],
    ]);
    const wrong = [
      {},
      { jti: "a", token: "b" },
      { token: "" },
      { device: "d", jti: "j" },
      { device: "d", expiresAt: 5 },
    ];
    for (const revocation of wrong) {
      await expect(phone.revoke(revocation)).rejects.toMatchObject({ code: 422, field: "revoke" });
    }
    account.fate = () => 403;
    await expect(phone.revoke({ eid: BOB })).rejects.toMatchObject({ code: 403 });
  });

  it("a token of one's own that is revoked ends the client, unless there is another", async () => {
    const phone = await connected("phone");
    const errors = errorsOf(phone);
    const sessionToken = [...clients.gateway.sessions][0]?.token ?? "";
    await phone.revoke({ jti: readFakeToken(sessionToken).jti ?? "" });
    await vi.waitFor(() => expect(phone.state).toBe("closed"));
    expect(errors).toEqual(["401 token: was revoked"]);
    const laptop = await connected("laptop", { token: () => fakeToken(ALICE, "laptop", 60_000) });
    await laptop.revoke({ jti: readFakeToken([...clients.gateway.sessions][0]?.token ?? "").jti ?? "" });
    await next(laptop, "online");
  });

  it("tell whether a token is good", async () => {
    const phone = await connected("phone");
    const mine = await phone.validate();
    expect(mine).toMatchObject({ valid: true, eid: ALICE, device: "phone", jti: expect.stringMatching(/^.{36}$/) });
    const other = fakeToken(BOB, "tv", 1_000);
    expect(await phone.validate(other)).toMatchObject({ valid: true, eid: BOB, device: "tv" });
    const expired = await phone.validate(fakeToken(ALICE, "phone", -1));
    expect(expired).toEqual({ valid: false, details: "exp: the token has expired" });
  });
});
