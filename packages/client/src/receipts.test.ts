import { BimipError, decodeFrame, SignalStatus } from "@bimip/protocol";
import { afterEach, expect, it, vi } from "vitest";
import { memoryStore } from "./memory-store.js";
import { Receipts } from "./receipts.js";
import { StoreSession } from "./store-session.js";

const { DELIVERED } = SignalStatus;
const TURN_MS = 100;

afterEach(() => {
  vi.useRealTimers();
});

/** Receipts whose connection notes the ids of what it is given. */
function make(store?: StoreSession) {
  const ids: string[] = [];
  const connection = {
    heardMs: performance.now(),
    send(frame: Uint8Array) {
      const { value } = decodeFrame(frame).stanza;
      if ("id" in value) ids.push(value.id);
    },
  };
  return { receipts: new Receipts(store, { minDelayMs: 1, jitter: 0 }), connection, ids };
}

const give = (receipts: Receipts, n: number): void =>
  receipts.give({ status: DELIVERED, id: `m${n}`, to: "bob", index: n });

it("knows those just sent however many wait behind them", () => {
  vi.useFakeTimers();
  const { receipts, connection, ids } = make();
  for (let n = 1; n <= 12_000; n++) give(receipts, n);
  receipts.open(connection);
  expect(ids).toHaveLength(500);
  give(receipts, 12_001);
  expect(receipts.postpone(new BimipError(503, "try again", { id: "m1" }))).toBe(true);
  vi.advanceTimersByTime(24 * TURN_MS);
  expect(ids).toHaveLength(12_002);
  expect(ids.filter((id) => id === "m1")).toHaveLength(2);
  receipts.close();
});

it("takes those as stored that were sent 30 s before the last frame came, not 30 s ago", () => {
  vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
  const { receipts, connection, ids } = make();
  receipts.open(connection);
  connection.heardMs = performance.now();
  give(receipts, 1);
  vi.advanceTimersByTime(1_000);
  give(receipts, 2);
  vi.advanceTimersByTime(29_500);
  connection.heardMs = performance.now();
  give(receipts, 3);
  vi.advanceTimersByTime(60_000);
  receipts.interrupt();
  ids.length = 0;
  receipts.open(connection);
  expect(ids).toEqual(["m2", "m3"]);
  receipts.close();
});

it("at close leaves in the store what the server would not take at once", async () => {
  const store = memoryStore();
  const session = new StoreSession(store, {
    onOpened: () => undefined,
    onError: (error) => expect.unreachable(error.details),
  });
  await session.claim("alice");
  const { receipts, connection, ids } = make(session);
  for (let n = 1; n <= 700; n++) give(receipts, n);
  receipts.open(connection);
  receipts.close();
  receipts.interrupt();
  receipts.closed(true);
  await session.close();
  expect(ids).toHaveLength(500);
  expect((await store.load()).outgoing).toHaveLength(200);
});
