// Tokens from a function, renewed on the open connection, against a gateway of this process.
import { TokenTask } from "@bimip/protocol";
import { describe, expect, it, vi } from "vitest";
import { ALICE, BOB, browserLikeSockets, errorsOf, messagesOf, useClients } from "../../test-kit/clients.js";
import { fakeToken } from "../../test-kit/fake-tokens.js";

const clients = useClients();
// Long enough for a busy machine: what is renewed in the last fifth must not come too late.
const LIFETIME_MS = 1_500;
vi.setConfig({ testTimeout: 20_000 });
const LONG = { timeout: 10_000 };

/** A token function and the tokens that it gave. */
function issuer(lifetimeMs = LIFETIME_MS) {
  const given: string[] = [];
  const token = async (): Promise<string> => {
    given.push(fakeToken(ALICE, "laptop", lifetimeMs));
    return given.at(-1) ?? "";
  };
  return { token, given };
}

const authenticates = () => clients.gateway.account.asked.filter(({ task }) => task === TokenTask.AUTHENTICATE);

describe.each([
  ["a token in the header", {}],
  ["a browser's first frame", { socket: browserLikeSockets }],
])("with %s", (_name, options) => {
  it("goes on over three lifetimes without a break", async () => {
    const { gateway } = clients;
    const { token, given } = issuer();
    const alice = clients.of(ALICE, { token, ...options });
    const [states, messages, errors] = [[] as string[], messagesOf(alice), errorsOf(alice)];
    alice.on("state", (state) => states.push(state));
    await alice.connect();
    let sent = 0;
    const begunMs = performance.now();
    const talk = async (): Promise<void> => {
      await alice.send({ to: ALICE, text: `own ${++sent}` });
      gateway.put(ALICE, `other ${sent}`);
      await alice.ping();
      expect(performance.now() - begunMs).toBeGreaterThan(3.2 * LIFETIME_MS);
    };
    await vi.waitFor(talk, LONG);
    expect([states, errors]).toEqual([["connecting", "replaying", "online"], []]);
    expect(messages).toHaveLength(sent);
    // One connection, and what it was opened with is not what it has now.
    expect(gateway.tokens).toEqual([given[0]]);
    expect(given.length).toBeGreaterThan(3);
    expect([...gateway.sessions].map((session) => session.token)).toEqual([given.at(-1)]);
  });
});

it("tries again until the token expires, then as after every 4401", async () => {
  const { gateway } = clients;
  const first = fakeToken(ALICE, "laptop", LIFETIME_MS);
  let failing = true;
  let asked = 0;
  const token = async (): Promise<string> => {
    if (++asked === 1) return first;
    if (failing) throw new Error("the backend is away");
    return fakeToken(ALICE, "laptop", 60_000);
  };
  const alice = clients.of(ALICE, { token });
  const [errors, messages] = [errorsOf(alice), messagesOf(alice)];
  await alice.connect();
  await vi.waitFor(() => expect(asked).toBeGreaterThan(4), LONG);
  expect(alice.state).toBe("online");
  expect(new Set(errors)).toEqual(new Set(["503 no new token could be had"]));
  await vi.waitFor(() => expect(alice.state).not.toBe("online"), LONG);
  failing = false;
  await vi.waitFor(() => expect(alice.state).toBe("online"), LONG);
  gateway.put(ALICE, "here again");
  await vi.waitFor(() => expect(messages).toHaveLength(1));
  expect(gateway.tokens).toHaveLength(2);
});

it("does not take an old token for a new one, nor another account's", async () => {
  const given = [
    fakeToken(ALICE, "laptop", LIFETIME_MS),
    fakeToken(ALICE, "laptop", LIFETIME_MS / 2),
    fakeToken(BOB, "laptop", 60_000),
  ];
  const late = fakeToken(ALICE, "laptop", 60_000);
  const alice = clients.of(ALICE, { token: () => given.shift() ?? late });
  const errors = errorsOf(alice);
  await alice.connect();
  await vi.waitFor(() => expect(authenticates()).toHaveLength(1), LONG);
  expect(errors).toEqual([
    "503 the token function gave no token that is good for longer",
    `409 token: it belongs to ${BOB}, the client to ${ALICE}`,
  ]);
  await alice.ping();
  expect([...clients.gateway.sessions].map((session) => session.token)).toEqual([late]);
});

it("asks again when the server refuses the new token or is too busy; the session lives on", async () => {
  const { account } = clients.gateway;
  const fates = [{ error: "exp: the token has expired" }, 429, 503, "ignore" as const];
  account.fate = () => fates.shift() ?? "answer";
  const { token } = issuer(2 * LIFETIME_MS);
  const alice = clients.of(ALICE, { token, queryTimeoutMs: 50 });
  const errors = errorsOf(alice);
  await alice.connect();
  await vi.waitFor(() => expect(authenticates()).toHaveLength(5), LONG);
  await alice.ping();
  expect(errors).toEqual([
    "401 exp: the token has expired",
    "429 fate 429",
    "503 fate 503",
    "408 token_authority: no answer within 50 ms",
  ]);
  expect([alice.state, clients.gateway.tokens.length]).toEqual(["online", 1]);
});

it("waits after a 429 as long as the server says", async () => {
  const { account } = clients.gateway;
  const fates = [{ code: 429, details: "too fast, try again in 0.3 s" }];
  const times: number[] = [];
  account.fate = () => {
    times.push(performance.now());
    return fates.shift() ?? "answer";
  };
  const { token } = issuer(2_500);
  const alice = clients.of(ALICE, { token });
  await alice.connect();
  await vi.waitFor(() => expect(times).toHaveLength(2), LONG);
  const [first = 0, second = 0] = times;
  expect(second - first).toBeGreaterThan(295);
});

it("begins anew on each connection", async () => {
  const { gateway } = clients;
  const { token, given } = issuer();
  const alice = clients.of(ALICE, { token });
  await alice.connect();
  gateway.drop();
  await vi.waitFor(() => expect(gateway.tokens).toHaveLength(2));
  await vi.waitFor(() => expect(authenticates().length).toBeGreaterThan(0), LONG);
  expect(gateway.tokens).toEqual(given.slice(0, 2));
});

it("renews no token that was given as a text, or does not expire", async () => {
  const { gateway } = clients;
  const alice = clients.of(ALICE, { token: fakeToken(ALICE, "laptop", 200) });
  const bob = clients.of(BOB, { token: () => fakeToken(BOB, "laptop") });
  const errors = errorsOf(alice);
  await Promise.all([alice.connect(), bob.connect()]);
  await vi.waitFor(() => expect(alice.state).toBe("closed"));
  expect(errors).toEqual(["401 the token expired"]);
  expect([gateway.tokens.length, authenticates(), bob.state]).toEqual([2, [], "online"]);
});
