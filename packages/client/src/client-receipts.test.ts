// Receipts in both directions, against a gateway of this process over real sockets.
import { SignalStatus } from "@bimip/protocol";
import { expect, it, vi } from "vitest";
import { ALICE, BOB, catchUncaught, messagesOf, useClients } from "../test-kit/clients.js";
import { memoryStore } from "./memory-store.js";
import type { Outgoing } from "./outgoing-states.js";

const clients = useClients();
const { DELIVERED, READ, PLAYED, FORWARDED } = SignalStatus;

/** status, id, index of what came at the gateway. */
const given = () => clients.gateway.receipts.map(({ status, id, monotonicId }) => [status, id, Number(monotonicId)]);

/** Whatever the client sent before is at the gateway. */
const settle = (client: { ping(): Promise<number> }) => client.ping();

it("tells DELIVERED once the handlers are through, promises included", async () => {
  const { gateway } = clients;
  for (const id of ["a", "b", "c"]) gateway.put(ALICE, id, BOB, "phone", id);
  const alice = clients.of(ALICE);
  const finish = new Map<string, () => void>();
  alice.on("message", ({ id }) => (id === "c" ? undefined : new Promise<void>((done) => finish.set(id, done))));
  await alice.connect();
  await settle(alice);
  expect([given(), [...finish.keys()]]).toEqual([[], ["a"]]);
  finish.get("a")?.();
  await vi.waitFor(() => expect(finish.has("b")).toBe(true));
  finish.get("b")?.();
  await vi.waitFor(() => expect(gateway.receipts).toHaveLength(3));
  expect(given()).toEqual([
    [DELIVERED, "a", 1],
    [DELIVERED, "b", 2],
    [DELIVERED, "c", 3],
  ]);
  expect(gateway.receipts[0]).toMatchObject({ type: 1, to: { eid: BOB } });
});

it("does not acknowledge what a handler failed on, nor what follows; a new start brings it again", async () => {
  const { gateway } = clients;
  const uncaught = catchUncaught();
  for (const id of ["a", "b", "c"]) gateway.put(ALICE, id, BOB, "phone", id);
  const first = clients.of(ALICE);
  const errors: string[] = [];
  const handed: string[] = [];
  first.on("error", ({ details }) => errors.push(details));
  first.on("message", async ({ id }) => {
    handed.push(id);
    if (id === "b") throw new Error("no disk");
  });
  await first.connect();
  await vi.waitFor(() => expect(handed.slice(0, 3)).toEqual(["a", "b", "b"]));
  await first.close();
  expect([given(), errors[0]]).toEqual([[[DELIVERED, "a", 1]], expect.stringContaining("a handler failed")]);
  expect(uncaught[0]).toMatchObject({ message: "no disk" });
  expect(handed).not.toContain("c");
  const second = clients.of(ALICE);
  const messages = messagesOf(second);
  await second.connect();
  expect(messages.map(({ id }) => id)).toEqual(["b", "c"]);
});

it("acknowledges nothing while nobody listens", async () => {
  const { gateway } = clients;
  gateway.put(ALICE, "a");
  const alice = clients.of(ALICE);
  await alice.connect();
  await alice.close();
  expect(gateway.receipts).toEqual([]);
  const sender = clients.of(ALICE, { receive: false });
  const messages = messagesOf(sender);
  await sender.connect();
  expect(await sender.send({ to: BOB, text: "x" })).toMatchObject({ to: BOB });
  gateway.put(ALICE, "b");
  await settle(sender);
  expect([messages, gateway.receipts, gateway.resumes.at(-1)]).toEqual([[], [], "manual"]);
});

it("manual: waits for the application's word, message by message", async () => {
  const { gateway } = clients;
  for (const id of ["a", "b", "c", "d"]) gateway.put(ALICE, id, BOB, "phone", id);
  const alice = clients.of(ALICE, { acknowledge: "manual" });
  const messages = messagesOf(alice);
  await alice.connect();
  const [a, b, c, d] = messages;
  c?.read();
  b?.played();
  await settle(alice);
  expect(given()).toEqual([]);
  a?.delivered();
  a?.delivered();
  await settle(alice);
  expect(given()).toEqual([
    [DELIVERED, "a", 1],
    [PLAYED, "b", 2],
    [READ, "c", 3],
  ]);
  d?.forwarded();
  c?.delivered();
  a?.read();
  await settle(alice);
  expect(given().slice(3)).toEqual([
    [FORWARDED, "d", 4],
    [READ, "a", 1],
  ]);
});

it("acknowledges own copies and receipts by a bare cursor, gathered", async () => {
  const { gateway } = clients;
  const alice = clients.of(ALICE);
  const messages = messagesOf(alice);
  await alice.connect();
  for (let n = 0; n < 250; n++) gateway.put(ALICE, `own ${n}`, ALICE, "phone");
  gateway.putReceipt(ALICE, { id: "m1", from: { eid: BOB }, status: READ, monotonicId: 77n });
  await vi.waitFor(() => expect(gateway.cursors.get(`${ALICE}/laptop`)).toBe(251));
  expect(messages.every(({ own }) => own)).toBe(true);
  expect(given()).toEqual([
    [DELIVERED, "", 100],
    [DELIVERED, "", 200],
    [DELIVERED, "", 251],
  ]);
  messages[0]?.read();
  await settle(alice);
  expect(gateway.receipts).toHaveLength(3);
});

it("gives what may be lost again after a reconnect, and what was given offline", async () => {
  const { gateway } = clients;
  gateway.put(ALICE, "a", BOB, "phone", "a");
  gateway.put(ALICE, "b", BOB, "phone", "b");
  const alice = clients.of(ALICE);
  const messages = messagesOf(alice);
  await alice.connect();
  await settle(alice);
  alice.on("state", (state) => state === "offline" && messages[1]?.read());
  gateway.drop();
  await vi.waitFor(() => expect(gateway.receipts).toHaveLength(5));
  expect(given()).toEqual([
    [DELIVERED, "a", 1],
    [DELIVERED, "b", 2],
    [DELIVERED, "a", 1],
    [DELIVERED, "b", 2],
    [READ, "b", 2],
  ]);
});

it("gives a receipt again that the server could not take, and reports one that it never will", async () => {
  const { gateway } = clients;
  gateway.receiptFate = () => 503;
  const alice = clients.of(ALICE);
  messagesOf(alice);
  const errors: unknown[] = [];
  alice.on("error", ({ code, details, id }) => errors.push([code, details, id]));
  await alice.connect();
  gateway.put(ALICE, "a", BOB, "phone", "a");
  await vi.waitFor(() => expect(gateway.receipts.length).toBeGreaterThan(1));
  gateway.receiptFate = () => "tell";
  await vi.waitFor(() => expect(gateway.cursors.get(`${ALICE}/laptop`)).toBe(1));
  expect(errors).toEqual([]);
  gateway.put(ALICE, "b", BOB, "phone", "b");
  await vi.waitFor(() => expect(gateway.cursors.get(`${ALICE}/laptop`)).toBeGreaterThan(1));
  gateway.receiptFate = () => 404;
  gateway.put(ALICE, "c", BOB, "phone", "c");
  await vi.waitFor(() => expect(errors).toEqual([[404, "fate 404", "c"]]));
});

it("tells how far a message has come: never back, each state once", async () => {
  const { gateway } = clients;
  const alice = clients.of(ALICE);
  const told: Outgoing[] = [];
  alice.on("outgoing", (outgoing) => told.push(outgoing));
  messagesOf(alice);
  await alice.connect();
  expect(alice.outgoing("m1", BOB)).toBeUndefined();
  const sent = await alice.send({ to: BOB, text: "hi", id: "m1" });
  const receipt = { id: "m1", from: { eid: BOB }, monotonicId: BigInt(sent.index), timestamp: 5n };
  for (const status of [DELIVERED, DELIVERED, READ, FORWARDED, DELIVERED, PLAYED, READ]) {
    gateway.putReceipt(ALICE, { ...receipt, status });
  }
  gateway.putReceipt(ALICE, { ...receipt, id: "of-another-device", status: READ });
  await vi.waitFor(() => expect(alice.outgoing("of-another-device", BOB)?.state).toBe("read"));
  expect(told.map(({ id, state, index }) => [id, state, index])).toEqual([
    ["m1", "queued", undefined],
    ["m1", "sent", sent.index],
    ["m1", "delivered", sent.index],
    ["m1", "read", sent.index],
    ["m1", "played", sent.index],
    ["of-another-device", "read", sent.index],
  ]);
  expect(alice.outgoing("m1", BOB)).toEqual({ id: "m1", to: BOB, state: "played", at: 5, index: sent.index });
  gateway.fate = () => 403;
  await expect(alice.send({ to: BOB, text: "hi", id: "m2" })).rejects.toMatchObject({ code: 403 });
  expect(alice.outgoing("m2", BOB)).toMatchObject({ state: "failed", error: { code: 403 } });
});

it("two clients: delivered and read reach the sender", async () => {
  const [alice, bob] = [clients.of(ALICE), clients.of(BOB)];
  bob.on("message", (message) => message.read());
  const states: string[] = [];
  alice.on("outgoing", ({ state }) => states.push(state));
  messagesOf(alice);
  await Promise.all([alice.connect(), bob.connect()]);
  await alice.send({ to: BOB, text: "hi" });
  await vi.waitFor(() => expect(states).toEqual(["queued", "sent", "read"]));
});

it("keeps receipts that found no connection in the store", async () => {
  const { gateway } = clients;
  gateway.put(ALICE, "a", BOB, "phone", "a");
  const store = memoryStore();
  const first = clients.of(ALICE, { store, reconnect: { minDelayMs: 60_000, jitter: 0 } });
  const messages = messagesOf(first);
  await first.connect();
  await settle(first);
  gateway.drop();
  await vi.waitFor(() => expect(first.state).toBe("offline"));
  messages[0]?.read();
  await first.close();
  gateway.receipts.length = 0;
  const second = clients.of(ALICE, { store });
  messagesOf(second);
  await second.connect();
  await settle(second);
  expect(given()).toEqual([
    [DELIVERED, "a", 1],
    [READ, "a", 1],
  ]);
});

it("sends typing and recording to those who are online", async () => {
  const [alice, bob] = [clients.of(ALICE), clients.of(BOB)];
  const statuses: unknown[] = [];
  bob.on("signal", ({ status, from }) => statuses.push([status, from?.eid]));
  alice.typing(BOB);
  await Promise.all([alice.connect(), bob.connect()]);
  alice.typing(BOB);
  alice.recording(BOB);
  await vi.waitFor(() =>
    expect(statuses).toEqual([
      [SignalStatus.TYPING, ALICE],
      [SignalStatus.RECORDING, ALICE],
    ]),
  );
  expect(() => alice.typing("")).toThrow(/signal\.to\.eid: is missing/);
});
