// Against an IndexedDB in memory; in a real browser it runs in the e2e tests.
import "fake-indexeddb/auto";
import { forceCloseDatabase, IDBFactory, IDBObjectStore } from "fake-indexeddb";
import { afterEach, expect, it, vi } from "vitest";
import { type ClientStore, SEEN_ENTRIES } from "./client-store.js";
import { indexedDbStore } from "./indexed-db-store.js";

const stores: ClientStore[] = [];
let names = 0;

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

async function opened(name: string) {
  const store = indexedDbStore(name);
  const state = await store.load();
  stores.push(store);
  return { store, state };
}

const entry = (key: string) => ({ key, frame: new Uint8Array([1, 2, 3]) });

it("finds what was put, in its order, without what was removed", async () => {
  const name = `db${names++}`;
  const { store, state } = await opened(name);
  expect(state).toEqual({ owner: "", index: 0, epoch: 0, seen: [], outgoing: [] });
  await Promise.all([store.put(entry("z\0b")), store.put(entry("b")), store.put(entry("c"))]);
  await store.remove("b");
  await store.remove("never put");
  await store.save({ owner: "alice", index: 7, epoch: 9, seen: ["x"] });
  await store.save({ owner: "alice", index: 8, epoch: 9, seen: ["y"] });
  await expect(store.load()).rejects.toThrow("open already");
  await store.close();
  const { state: again } = await opened(name);
  expect(again).toEqual({
    owner: "alice",
    index: 8,
    epoch: 9,
    seen: ["x", "y"],
    outgoing: [entry("z\0b"), entry("c")],
  });
  await store.close();
  await expect(store.put(entry("d"))).rejects.toThrow("not open");
});

it("remembers only so many names", async () => {
  const name = `db${names++}`;
  const { store } = await opened(name);
  const seen = Array.from({ length: SEEN_ENTRIES + 1_500 }, (_, n) => `old${n}`);
  await store.save({ owner: "a", index: 1, epoch: 1, seen });
  await store.save({ owner: "a", index: 1, epoch: 1, seen: ["new"] });
  await store.close();
  const { state } = await opened(name);
  expect([state.seen.length, state.seen[0], state.seen.at(-1)]).toEqual([SEEN_ENTRIES, "old1501", "new"]);
});

it("rejects once when the disk is full, and goes on when it is not", async () => {
  const { store } = await opened(`db${names++}`);
  await store.put(entry("a"));
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);
  process.on("unhandledRejection", note);
  for (const method of ["put", "delete"] as const) {
    vi.spyOn(IDBObjectStore.prototype, method).mockImplementation(function (this: IDBObjectStore) {
      this.transaction.abort();
      throw new Error("quota");
    });
  }
  for (const write of [
    () => store.put(entry("b")),
    () => store.save({ owner: "alice", index: 1, epoch: 1, seen: ["x"] }),
    () => store.remove("a"),
  ]) {
    await expect(write()).rejects.toThrow(/quota|abort/i);
  }
  vi.restoreAllMocks();
  await store.put(entry("c"));
  process.off("unhandledRejection", note);
  expect(unhandled).toEqual([]);
});

it("opens the database again after the browser dropped it", async () => {
  const open = vi.spyOn(IDBFactory.prototype, "open");
  const { store } = await opened(`db${names++}`);
  await store.put(entry("a"));
  const request = open.mock.results[0]?.value as IDBOpenDBRequest;
  const closed = new Promise((resolve) => request.result.addEventListener("close", resolve));
  forceCloseDatabase(request.result as never);
  await closed;
  await Promise.all([store.put(entry("b")), store.put(entry("c"))]);
  await store.close();
  expect((await store.load()).outgoing).toEqual([entry("a"), entry("b"), entry("c")]);
  stores.push(store);
});

it("is refused to a second tab, where the browser has locks", async () => {
  const held = new Set<string>();
  const locks = {
    async request(name: string, { signal }: { signal: AbortSignal }, run: () => Promise<void>) {
      while (held.has(name)) {
        signal.throwIfAborted();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      held.add(name);
      await run();
      held.delete(name);
    },
  };
  vi.stubGlobal("navigator", { locks });
  const name = `db${names++}`;
  const { store } = await opened(name);
  await expect(opened(name)).rejects.toThrow(`another tab is using the database ${name}`);
  await store.close();
  await opened(name);
});
