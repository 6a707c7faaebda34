// How the log reaches handlers that are slow, that fail, or that are not there, against a gateway of this process.
import { expect, it, vi } from "vitest";
import { ALICE, BOB, catchUncaught, messagesOf, useClients } from "../test-kit/clients.js";
import type { IncomingMessage } from "./incoming-message.js";
import { memoryStore } from "./memory-store.js";
import type { Socket } from "./socket.js";
import { defaultSockets } from "./socket-node.js";

const clients = useClients();
const cursor = () => clients.gateway.cursors.get(`${ALICE}/laptop`);

/** A promise and its end. */
function gate() {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

it("hands over again what a handler failed on, then all that follows, and acknowledges it", async () => {
  const { gateway } = clients;
  catchUncaught();
  const alice = clients.of(ALICE);
  const handed: number[] = [];
  alice.on("message", ({ index }) => {
    handed.push(index);
    if (handed.length === 1) throw new Error("once");
  });
  await alice.connect();
  for (let n = 0; n < 1_000; n++) gateway.put(ALICE, "t");
  await vi.waitFor(() => expect(cursor()).toBe(1_000));
  expect(handed).toEqual([1, ...Array.from({ length: 1_000 }, (_, n) => n + 1)]);
  expect(gateway.receipts.filter(({ id }) => id !== "")).toHaveLength(1_000);
});

it("hands over what nobody heard once somebody listens, and says that nobody does", async () => {
  const { gateway } = clients;
  const alice = clients.of(ALICE);
  const errors: string[] = [];
  alice.on("error", ({ details }) => errors.push(details));
  const off = alice.on("message", () => undefined);
  await alice.connect();
  gateway.put(ALICE, "t1");
  await vi.waitFor(() => expect(cursor()).toBe(1));
  off();
  for (const text of ["t2", "t3"]) gateway.put(ALICE, text);
  await alice.ping();
  expect(errors).toEqual([expect.stringContaining("nobody listens")]);
  const messages = messagesOf(alice);
  gateway.put(ALICE, "t4");
  const last = gateway.put(ALICE, "t5");
  await vi.waitFor(() => expect(cursor()).toBe(last));
  expect(messages.map(({ text }) => text)).toEqual(["t2", "t3", "t4", "t5"]);
  expect(gateway.resumes).toEqual([null, 1n]);
});

it("goes on with what nobody heard after a reconnect, or when a waiting entry finds nobody", async () => {
  const { gateway } = clients;
  for (const text of ["t1", "t2", "t3"]) gateway.put(ALICE, text);
  const alice = clients.of(ALICE);
  const first = gate();
  const off = alice.on("message", () => first.opened);
  await alice.connect();
  off();
  first.open();
  gateway.put(ALICE, "t4");
  await alice.ping();
  let messages: IncomingMessage[] = [];
  alice.on("state", (state) => state === "offline" && (messages = messagesOf(alice)));
  gateway.drop();
  await vi.waitFor(() => expect(messages).toHaveLength(3));
  expect(messages.map(({ text }) => text)).toEqual(["t2", "t3", "t4"]);
});

it("acknowledges nothing that only a handler of `stanza` saw; what lies beside messages goes with them", async () => {
  const { gateway } = clients;
  const alice = clients.of(ALICE);
  let stanzas = 0;
  alice.on("stanza", () => stanzas++);
  gateway.put(ALICE, "t1");
  await alice.connect();
  await alice.ping();
  expect([stanzas > 0, gateway.receipts]).toEqual([true, []]);
  messagesOf(alice);
  gateway.putReceipt(ALICE, { id: "m", from: { eid: BOB }, status: 5, monotonicId: 9n });
  await vi.waitFor(() => expect(cursor()).toBe(2));
});

it("tells of receipts though nobody listens to messages, once, and acknowledges them when somebody does", async () => {
  const { gateway } = clients;
  const alice = clients.of(ALICE);
  const states: unknown[] = [];
  const signals: string[] = [];
  alice.on("outgoing", ({ state }) => states.push(state));
  alice.on("signal", ({ id }) => signals.push(id));
  await alice.connect();
  const { index } = await alice.send({ to: BOB, text: "x", id: "m" });
  gateway.putReceipt(ALICE, { id: "m", from: { eid: BOB }, status: 5, monotonicId: BigInt(index) });
  gateway.put(ALICE, "t");
  const last = gateway.putReceipt(ALICE, { id: "m2", from: { eid: BOB }, status: 5, monotonicId: 9n });
  await vi.waitFor(() => expect(signals).toEqual(["m", "m2"]));
  expect([states, gateway.receipts]).toEqual([["queued", "sent", "read", "read"], []]);
  const messages = messagesOf(alice);
  await vi.waitFor(() => expect(cursor()).toBe(last));
  expect([messages.length, signals]).toEqual([1, ["m", "m2"]]);
});

it("acknowledges by itself only once the handler is through, whatever it said of the message before", async () => {
  const { gateway } = clients;
  catchUncaught();
  const store = memoryStore();
  const first = clients.of(ALICE, { store });
  let tries = 0;
  first.on("message", async (message) => {
    message.read();
    await Promise.resolve();
    if (++tries < 3) throw new Error("database is away");
  });
  await first.connect();
  gateway.put(ALICE, "one", BOB, "phone", "m1");
  await vi.waitFor(() => expect(tries).toBeGreaterThan(1));
  if (tries < 3) expect(gateway.receipts).toEqual([]);
  await vi.waitFor(() => expect(cursor()).toBe(1));
  expect(gateway.receipts.map(({ id, status }) => [id, status])).toEqual([["m1", 5]]);
});

it("hands over once what is in no log, though a handler fails on it, and what follows with it", async () => {
  const { gateway } = clients;
  catchUncaught();
  const [alice, bob] = [clients.of(ALICE), clients.of(BOB)];
  const errors: unknown[] = [];
  let count = 0;
  messagesOf(alice);
  alice.on("error", (error) => errors.push(error));
  alice.on("signal", () => {
    count++;
    throw new Error("once");
  });
  await Promise.all([alice.connect(), bob.connect()]);
  bob.typing(ALICE);
  await vi.waitFor(() => expect(count).toBe(1));
  gateway.put(ALICE, "t");
  await vi.waitFor(() => expect(cursor()).toBe(1));
  expect([count, errors]).toEqual([1, []]);
});

it("waits for what is like a promise", async () => {
  const { gateway } = clients;
  const alice = clients.of(ALICE);
  const first = gate();
  // What some libraries answer with.
  // oxlint-disable-next-line unicorn/no-thenable
  alice.on("message", () => ({ then: (resolve: () => void) => void first.opened.then(resolve) }));
  await alice.connect();
  gateway.put(ALICE, "t");
  await alice.ping();
  expect(gateway.receipts).toEqual([]);
  first.open();
  await vi.waitFor(() => expect(cursor()).toBe(1));
});

it("close() waits for the handler that runs, which may still send, and hands over nothing more", async () => {
  const { gateway } = clients;
  const store = memoryStore();
  const first = clients.of(ALICE, { store });
  const handler = gate();
  const handled: (string | undefined)[] = [];
  first.on("message", async ({ text }) => {
    await handler.opened;
    await first.send({ to: BOB, text: "answer" });
    handled.push(text);
  });
  gateway.put(ALICE, "one");
  gateway.put(ALICE, "two");
  await first.connect();
  const closed = first.close();
  handler.open();
  await closed;
  expect([handled, gateway.texts(BOB), cursor()]).toEqual([["one"], ["answer"], 1]);
  const second = clients.of(ALICE, { store });
  const messages = messagesOf(second);
  await second.connect();
  expect(messages.map(({ text }) => text)).toEqual(["two"]);
});

it("close() gives up a handler that does not end; what it was given comes again, from the same client too", async () => {
  const { gateway } = clients;
  const alice = clients.of(ALICE, { store: memoryStore(), closeTimeoutMs: 30 });
  const errors: unknown[] = [];
  alice.on("error", (error) => errors.push(error));
  const first = gate();
  const handed: (string | undefined)[] = [];
  alice.on("message", ({ text }) => {
    handed.push(text);
    return handed.length === 1 ? first.opened : undefined;
  });
  gateway.put(ALICE, "one");
  gateway.put(ALICE, "two");
  await alice.connect();
  await alice.close();
  expect(gateway.receipts).toEqual([]);
  first.open();
  await alice.connect();
  await vi.waitFor(() => expect(cursor()).toBe(2));
  expect([handed, errors]).toEqual([["one", "one", "two"], []]);
});

it("keeps what a handler finishes after the server ended the client", async () => {
  const { gateway } = clients;
  const store = memoryStore();
  const first = clients.of(ALICE, { store });
  const handler = gate();
  const errors: number[] = [];
  first.on("error", ({ code }) => errors.push(code));
  first.on("message", () => handler.opened);
  gateway.put(ALICE, "one");
  gateway.put(ALICE, "two");
  await first.connect();
  gateway.close(4409);
  await vi.waitFor(() => expect(first.state).toBe("closed"));
  handler.open();
  await first.close();
  expect(errors).toEqual([409]);
  const second = clients.of(ALICE, { store });
  const messages = messagesOf(second);
  await second.connect();
  expect(messages.map(({ text }) => text)).toEqual(["two"]);
});

it("what was handed over before close() can be read after the next connect()", async () => {
  const { gateway } = clients;
  const alice = clients.of(ALICE);
  const messages = messagesOf(alice);
  gateway.put(ALICE, "one", BOB, "phone", "m1");
  await alice.connect();
  await alice.close();
  await alice.connect();
  messages[0]?.read();
  await alice.ping();
  expect(gateway.receipts.at(-1)).toMatchObject({ id: "m1", status: 5 });
});

it("runs handlers one after the other, and lets the server wait while they are far behind", async () => {
  const { gateway } = clients;
  let paused = 0;
  const open: typeof defaultSockets.open = (url, token, handlers) => {
    const socket: Socket = defaultSockets.open(url, token, handlers);
    return { ...socket, pause: () => (paused++, socket.pause?.()) };
  };
  for (let n = 0; n < 5_000; n++) gateway.put(ALICE, "x".repeat(1_000));
  const alice = clients.of(ALICE, { socket: { ...defaultSockets, open } });
  const finished: number[] = [];
  let running = 0;
  let most = 0;
  let came = 0;
  let mostWaiting = 0;
  alice.on("stanza", ({ kind }) => kind === "message" && came++);
  alice.on("message", async ({ index }) => {
    most = Math.max(most, ++running);
    mostWaiting = Math.max(mostWaiting, came - finished.length);
    await new Promise((resolve) => setImmediate(resolve));
    finished.push(index);
    running--;
  });
  await alice.connect();
  await vi.waitFor(() => expect(finished).toHaveLength(5_000), { timeout: 10_000 });
  expect([most, finished.every((index, n) => index === n + 1)]).toEqual([1, true]);
  expect(paused).toBeGreaterThan(0);
  expect(mostWaiting).toBeLessThan(1_000);
});

it("a handler may wait for SENT, a query or a pong while the server is made to wait", async () => {
  const { gateway } = clients;
  for (let n = 0; n < 2_000; n++) gateway.put(ALICE, `t${n}`, BOB);
  const alice = clients.of(ALICE);
  let count = 0;
  alice.on("message", async ({ text = "" }) => {
    if (count++ % 100 === 0) {
      await alice.send({ to: BOB, text });
      await alice.unread();
      await alice.ping();
    }
  });
  await alice.connect();
  await vi.waitFor(() => expect(count).toBe(2_000), { timeout: 10_000 });
  await vi.waitFor(() => expect(gateway.texts(BOB)).toHaveLength(20));
});

it("keeps few entries in memory though each handler waits for an answer that comes behind all others", async () => {
  const { gateway } = clients;
  for (let n = 0; n < 5_000; n++) gateway.put(ALICE, `t${n}`, BOB);
  const alice = clients.of(ALICE);
  const handed: (string | undefined)[] = [];
  alice.on("message", async ({ text }) => {
    handed.push(text);
    await alice.ping();
  });
  await alice.connect();
  gateway.put(ALICE, "last", BOB);
  await vi.waitFor(() => expect(handed).toHaveLength(5_001), { timeout: 10_000 });
  expect(handed).toEqual([...Array.from({ length: 5_000 }, (_, n) => `t${n}`), "last"]);
  // What came in vain was asked for again, behind what was kept.
  const [, first = 0n, ...more] = gateway.resumes.map((asked) => asked ?? 0n);
  expect([Number(first) > 1_000, more.length < 10]).toEqual([true, true]);
});

it("does not take a server for dead that it makes wait", async () => {
  const { gateway } = clients;
  for (let n = 0; n < 2_000; n++) gateway.put(ALICE, "t");
  const alice = clients.of(ALICE, { pingIntervalMs: 15 });
  const errors: unknown[] = [];
  alice.on("error", (error) => errors.push(error));
  const first = gate();
  let count = 0;
  alice.on("message", () => (count++ === 0 ? first.opened : undefined));
  const online = alice.connect();
  await vi.waitFor(() => expect(count).toBe(1));
  // Ten intervals: it would have been given up after two or three.
  await new Promise((resolve) => setTimeout(resolve, 150));
  first.open();
  await online;
  await vi.waitFor(() => expect(count).toBe(2_000));
  expect([errors, gateway.tokens.length]).toEqual([[], 1]);
});
