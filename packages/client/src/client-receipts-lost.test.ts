// Receipts that may have been lost with their connection, or are not lost, against a gateway of this process.
import { SignalStatus } from "@bimip/protocol";
import { afterEach, expect, it, vi } from "vitest";
import { ALICE, BOB, messagesOf, useClients } from "../test-kit/clients.js";
import { memoryStore } from "./memory-store.js";
import { defaultSockets } from "./socket-node.js";

const clients = useClients();
const { DELIVERED, READ } = SignalStatus;

afterEach(() => {
  vi.restoreAllMocks();
});

/** Lets the monotonic clock jump. */
function jump(ms: number): void {
  const now = performance.now.bind(performance);
  vi.spyOn(performance, "now").mockImplementation(() => now() + ms);
}

/** status, id, index of what came at the gateway. */
const given = () => clients.gateway.receipts.map(({ status, id, monotonicId }) => [status, id, Number(monotonicId)]);

/** Whatever the client sent before is at the gateway. */
const settle = (client: { ping(): Promise<number> }) => client.ping();

it("gives again what it gave into a dead connection, however late that is noticed", async () => {
  const { gateway } = clients;
  const alice = clients.of(ALICE, { acknowledge: "manual" });
  const messages = messagesOf(alice);
  await alice.connect();
  gateway.put(ALICE, "a", BOB, "phone", "a");
  await vi.waitFor(() => expect(messages).toHaveLength(1));
  for (const { socket } of gateway.sessions) socket.removeAllListeners("message");
  messages[0]?.read();
  jump(45_000);
  gateway.drop();
  await vi.waitFor(() => expect(given()).toEqual([[READ, "a", 1]]));
});

it("a program that lives shortly gives each receipt once, and leaves none in its store", async () => {
  const { gateway } = clients;
  const store = memoryStore();
  for (let run = 1; run <= 3; run++) {
    gateway.put(ALICE, "x", BOB, "phone", `m${run}`);
    const alice = clients.of(ALICE, { store, acknowledge: "manual" });
    alice.on("message", (message) => message.read());
    await alice.connect();
    await alice.close();
    await vi.waitFor(() => expect(given()).toHaveLength(run));
    expect((await store.load()).outgoing).toEqual([]);
    await store.close();
  }
  expect(given().map(([status, id]) => [status, id])).toEqual([1, 2, 3].map((n) => [READ, `m${n}`]));
});

it("keeps in the store what the server did not confirm by its answer to the close", async () => {
  const { gateway } = clients;
  const store = memoryStore();
  const open: typeof defaultSockets.open = (...args) => {
    const socket = defaultSockets.open(...args);
    return { ...socket, close: () => socket.terminate() };
  };
  gateway.put(ALICE, "x", BOB, "phone", "m");
  const first = clients.of(ALICE, { store, socket: { ...defaultSockets, open } });
  messagesOf(first);
  await first.connect();
  await settle(first);
  await first.close();
  gateway.receipts.length = 0;
  const second = clients.of(ALICE, { store });
  messagesOf(second);
  await second.connect();
  await settle(second);
  expect(given()).toEqual([[DELIVERED, "m", 1]]);
});
