// What survives a restart, and what the log's position means, against a gateway of this process.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { ALICE, BOB, messagesOf, useClients } from "../test-kit/clients.js";
import type { ClientOptions } from "./client-options.js";
import type { ClientStore } from "./client-store.js";
import { fileStore } from "./file-store.js";
import { memoryStore } from "./memory-store.js";

const clients = useClients();
const CAROL = "carol@example.com";

/** A JWT, as far as a client reads it. */
const tokenOf = (eid: string): string => `e30.${Buffer.from(JSON.stringify({ sub: eid })).toString("base64url")}.sig`;

it("sends what an earlier process left: same id, same time, in the old order, before what is new", async () => {
  const { gateway } = clients;
  const dir = await mkdtemp(join(tmpdir(), "bimip-outbox-"));
  const path = join(dir, "alice");
  try {
    const first = clients.of(ALICE, { store: fileStore(path) });
    const lost = [1, 2, 3].map((n) => first.send({ to: BOB, text: `old ${n}`, id: `m${n}` }));
    const outcomes = Promise.allSettled([...lost, first.push({ to: BOB, text: "push", id: "p" })]);
    await vi.waitFor(() => expect(first.outgoing("p", BOB)?.state).toBe("queued"));
    const before = Date.now();
    await first.close();
    expect((await outcomes).map(({ status }) => status)).toEqual(Array.from({ length: 4 }, () => "rejected"));

    const second = clients.of(ALICE, { store: fileStore(path) });
    const states: string[] = [];
    second.on("outgoing", ({ id, state }) => states.push(`${id} ${state}`));
    const sent = second.send({ to: BOB, text: "new", id: "m4" });
    await second.connect();
    await sent;
    expect(gateway.received.map(({ id }) => id)).toEqual(["m1", "m2", "m3", "p", "m4"]);
    expect(gateway.received[3]).toMatchObject({ $typeName: "bimip.PushNotification" });
    for (const { timestamp } of gateway.received.slice(0, 4)) expect(Number(timestamp)).toBeLessThanOrEqual(before);
    expect(states.filter((state) => state.startsWith("m1"))).toEqual(["m1 queued", "m1 sent"]);
    await second.close();

    const third = clients.of(ALICE, { store: fileStore(path) });
    await third.connect();
    await third.ping();
    expect(gateway.received).toHaveLength(5);
  } finally {
    await rm(dir, { recursive: true });
  }
});

it("goes on where the application was, also after a restart", async () => {
  const { gateway } = clients;
  const store = memoryStore();
  gateway.put(ALICE, "one");
  gateway.put(ALICE, "two");
  const first = clients.of(ALICE, { store });
  messagesOf(first);
  await first.connect();
  await first.close();
  // A gateway that died with the acknowledgements it had gathered.
  gateway.cursors.clear();
  gateway.put(ALICE, "three");
  const second = clients.of(ALICE, { store });
  const messages = messagesOf(second);
  await second.connect();
  expect(messages.map(({ text, replayed }) => [text, replayed])).toEqual([["three", true]]);
  expect(gateway.resumes).toEqual([null, "manual", 2n]);
});

it("manual: what was not acknowledged comes again after a restart, not after a reconnect", async () => {
  const { gateway } = clients;
  const store = memoryStore();
  for (const text of ["one", "two", "three"]) gateway.put(ALICE, text);
  const first = clients.of(ALICE, { store, acknowledge: "manual" });
  const messages = messagesOf(first);
  await first.connect();
  messages[0]?.delivered();
  messages[2]?.delivered();
  gateway.drop();
  gateway.put(ALICE, "four");
  await vi.waitFor(() => expect(messages.map(({ text }) => text)).toEqual(["one", "two", "three", "four"]));
  await first.close();
  const second = clients.of(ALICE, { store });
  const again = messagesOf(second);
  await second.connect();
  expect(again.map(({ text }) => text)).toEqual(["two", "three", "four"]);
});

it("gives the application each id once though the log holds it twice, restarts included", async () => {
  const { gateway } = clients;
  const store = memoryStore();
  const first = clients.of(ALICE, { store });
  const messages = messagesOf(first);
  await first.connect();
  gateway.put(ALICE, "x", BOB, "phone", "same");
  gateway.put(ALICE, "x", BOB, "phone", "same");
  gateway.put(ALICE, "of another", "carol@example.com", "phone", "same");
  await vi.waitFor(() => expect(gateway.cursors.get(`${ALICE}/laptop`)).toBe(3));
  expect(messages.map(({ text }) => text)).toEqual(["x", "of another"]);
  await first.close();
  gateway.put(ALICE, "x", BOB, "phone", "same");
  gateway.put(ALICE, "last");
  const second = clients.of(ALICE, { store });
  const later = messagesOf(second);
  await second.connect();
  expect(later.map(({ text }) => text)).toEqual(["last"]);
});

it("reads a log that was made anew from its beginning, even when its own position would fit", async () => {
  const { gateway } = clients;
  const store = memoryStore();
  for (const text of ["one", "two"]) gateway.put(ALICE, text);
  const first = clients.of(ALICE, { store });
  messagesOf(first);
  await first.connect();
  await first.close();
  gateway.forget();
  for (const text of ["A", "B", "C"]) gateway.put(ALICE, text);
  gateway.gapDetails = "the log was made anew";
  const second = clients.of(ALICE, { store });
  const messages = messagesOf(second);
  const gaps: unknown[] = [];
  second.on("gap", (gap) => gaps.push(gap));
  await second.connect();
  // C lies behind the old position: it must not come before the others.
  expect(messages.map(({ text }) => text)).toEqual(["A", "B", "C"]);
  expect(gateway.resumes.slice(1)).toEqual(["manual", 2n, 0n]);
  expect(gaps).toEqual([{ details: "the log was made anew", firstId: 1, epoch: 2 }]);
  await vi.waitFor(() => expect(gateway.cursors.get(`${ALICE}/laptop`)).toBe(3));
});

it("tells of a gap in a live session too, and asks for everything when told so", async () => {
  const { gateway } = clients;
  gateway.put(ALICE, "of this device", ALICE, "laptop");
  gateway.put(ALICE, "one");
  gateway.cursors.set(`${ALICE}/laptop`, 2);
  const alice = clients.of(ALICE, { begin: "everything" });
  const messages = messagesOf(alice);
  const gaps: unknown[] = [];
  alice.on("gap", ({ details }) => gaps.push(details));
  await alice.connect();
  expect(messages.map(({ text, own }) => [text, own])).toEqual([
    ["of this device", true],
    ["one", false],
  ]);
  gateway.gapDetails = "trimmed";
  gateway.announce();
  await vi.waitFor(() => expect(gaps).toEqual(["trimmed"]));
  expect(alice.state).toBe("online");
});

it("does not send what another account queued", async () => {
  const store = memoryStore();
  const alice = clients.of(ALICE, { store });
  await alice.connect();
  await alice.close();
  const bob = clients.of(BOB, { store });
  await expect(bob.connect()).rejects.toMatchObject({ code: 409, field: "store" });
  expect(bob.state).toBe("closed");
});

it("keeps nothing of one account in the store of another, and sends nothing of it", async () => {
  const { gateway } = clients;
  const store = memoryStore();
  const alice = clients.of(ALICE, { store });
  await alice.connect();
  await alice.close();
  // The account is known at once, or only when the token function has answered.
  for (const options of [{ eid: BOB }, { eid: undefined, token: () => tokenOf(BOB) }] as Partial<ClientOptions>[]) {
    const bob = clients.of(BOB, { store, ...options });
    const refused = [1, 2].map((n) =>
      expect(bob.send({ to: CAROL, text: "bob's", id: `${n}` })).rejects.toThrow(ALICE),
    );
    await expect(bob.connect()).rejects.toMatchObject({ code: 409, field: "store" });
    await Promise.all(refused);
    expect(bob.outgoing("1", CAROL)).toBeUndefined();
  }
  const again = clients.of(ALICE, { store });
  await again.connect();
  await again.ping();
  expect(gateway.received).toEqual([]);
});

it("sends in order what was given before and after the account was known", async () => {
  const { gateway } = clients;
  let known = (_token: string): void => undefined;
  const token = new Promise<string>((resolve) => {
    known = resolve;
  });
  const alice = clients.of(ALICE, { eid: undefined, store: memoryStore(), token: () => token });
  const ids = Array.from({ length: 12 }, (_, n) => `m${n}`);
  const send = (id: string) => alice.send({ to: BOB, text: "x", id });
  const sending = ids.slice(0, 3).map(send);
  const online = alice.connect();
  sending.push(...ids.slice(3, 5).map(send));
  known(tokenOf(ALICE));
  for (const id of ids.slice(5)) {
    sending.push(send(id));
    await Promise.resolve();
  }
  await online;
  await Promise.all(sending);
  expect(gateway.received.map(({ id }) => id)).toEqual(ids);
});

it("rejects on close() what waited for the account", async () => {
  const alice = clients.of(ALICE, {
    eid: undefined,
    store: memoryStore(),
    token: () => new Promise<string>(() => undefined),
  });
  const outcome = expect(alice.send({ to: BOB, text: "x" })).rejects.toMatchObject({ code: 503 });
  await alice.close();
  await outcome;
});

it.each([undefined, memoryStore()])("stops when a later token is another account's (store: %o)", async (store) => {
  const { gateway } = clients;
  let token = tokenOf(ALICE);
  const alice = clients.of(ALICE, { eid: undefined, token: () => token, ...(store !== undefined && { store }) });
  await alice.connect();
  gateway.fate = () => "ignore";
  const outcome = expect(alice.send({ to: CAROL, text: "alice's", id: "m" })).rejects.toMatchObject({ code: 409 });
  await vi.waitFor(() => expect(gateway.received).toHaveLength(1));
  token = tokenOf(BOB);
  gateway.drop();
  await outcome;
  expect(alice.state).toBe("closed");
  await expect(alice.connect()).rejects.toMatchObject({ code: 409, details: expect.stringContaining(BOB) });
  expect(gateway.tokens).toHaveLength(1);
  expect(gateway.received).toHaveLength(1);
});

it("says when the store fails, and sends nothing that it could not keep", async () => {
  const { gateway } = clients;
  const kept = memoryStore();
  const broken: ClientStore = {
    load: () => kept.load(),
    put: () => Promise.reject(new Error("no space left")),
    remove: (key) => kept.remove(key),
    save: () => Promise.reject(new Error("no space left")),
    close: () => kept.close(),
  };
  const alice = clients.of(ALICE, { store: broken });
  const errors: string[] = [];
  alice.on("error", ({ details }) => errors.push(details));
  messagesOf(alice);
  await alice.connect();
  await expect(alice.send({ to: BOB, text: "x", id: "m" })).rejects.toMatchObject({
    code: 500,
    details: /no space left/,
  });
  expect(alice.outgoing("m", BOB)).toMatchObject({ state: "failed" });
  expect(gateway.received).toEqual([]);
  gateway.put(ALICE, "one");
  await vi.waitFor(() => expect(errors.at(-1)).toBe("the store cannot be written: no space left"));
  const other = clients.of(ALICE, { store: broken });
  await expect(other.connect()).rejects.toMatchObject({
    code: 500,
    details: "the store cannot be opened: it is open already",
  });
});
