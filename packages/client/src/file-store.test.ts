import { type FileHandle, mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type ClientStore, SEEN_ENTRIES } from "./client-store.js";
import { fileStore } from "./file-store.js";

let dir: string;
let path: string;
const stores: ClientStore[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "bimip-store-"));
  path = join(dir, "below", "alice.jsonl");
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const store of stores.splice(0)) await store.close();
  await rm(dir, { recursive: true });
});

async function opened() {
  const store = fileStore(path);
  const state = await store.load();
  stores.push(store);
  return { store, state };
}

const entry = (key: string, size = 3) => ({ key, frame: new Uint8Array(size).fill(key.charCodeAt(0)) });

it("finds what was put, in its order, without what was removed", async () => {
  const { store, state } = await opened();
  expect(state).toEqual({ owner: "", index: 0, epoch: 0, seen: [], outgoing: [] });
  await Promise.all([store.put(entry("a\0b")), store.put(entry("b")), store.put(entry("c"))]);
  await store.remove("b");
  await store.save({ owner: "alice", index: 7, epoch: 9, seen: ["x"] });
  await store.save({ owner: "alice", index: 8, epoch: 9, seen: ["y"] });
  await store.close();
  const { state: again } = await opened();
  expect(again).toEqual({
    owner: "alice",
    index: 8,
    epoch: 9,
    seen: ["x", "y"],
    outgoing: [entry("a\0b"), entry("c")],
  });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

it("is readable after a kill at any byte: what was told as kept is there", async () => {
  const { store } = await opened();
  await store.put(entry("a"));
  await store.put(entry("b"));
  await store.close();
  const whole = await readFile(path);
  for (let cut = whole.indexOf("\n") + 1; cut <= whole.length; cut++) {
    await writeFile(path, whole.subarray(0, cut));
    const { store: torn, state } = await opened();
    const text = whole.subarray(0, cut).toString();
    const kept = ["a", "b"].filter(
      (key) => text.includes(`{"put":"${key}"`) && text.split(`{"put":"${key}"`)[1]?.includes("\n"),
    );
    expect(state.outgoing.map(({ key }) => key)).toEqual(kept);
    await torn.put(entry("z"));
    await torn.close();
    const { store: next, state: later } = await opened();
    expect(later.outgoing.map(({ key }) => key)).toEqual([...kept, "z"]);
    await next.close();
  }
});

it("refuses a file that is not a store, and damage that no crash makes", async () => {
  await (await opened()).store.close();
  await writeFile(path, "my diary\nof long ago\n");
  await expect(opened()).rejects.toThrow(/alice\.jsonl: line 1 is not one of a BIMIP store/);
  expect(await readFile(path, "utf8")).toBe("my diary\nof long ago\n");
  await writeFile(path, '{"store":"bimip","version":1}\n{"put":1}\n{"remove":"x"}\n');
  await expect(opened()).rejects.toThrow("line 2");
});

it("does not grow for ever, and remembers only so many names", async () => {
  const { store } = await opened();
  const seen = Array.from({ length: SEEN_ENTRIES }, (_, n) => `old${n}`);
  await store.save({ owner: "a", index: 1, epoch: 1, seen });
  await store.put(entry("kept"));
  for (let n = 0; n < 60; n++) {
    await store.put(entry(`big${n}`, 60_000));
    await store.remove(`big${n}`);
  }
  await store.save({ owner: "a", index: 2, epoch: 1, seen: ["new"] });
  expect((await stat(path)).size).toBeLessThan(2_000_000);
  await store.close();
  const { state } = await opened();
  expect(state.outgoing).toEqual([entry("kept")]);
  expect([state.seen.length, state.seen[0], state.seen.at(-1)]).toEqual([SEEN_ENTRIES, "old1", "new"]);
});

it("lets nobody else in", async () => {
  const { store } = await opened();
  await expect(store.load()).rejects.toThrow("is open already");
  await expect(fileStore(path).load()).rejects.toThrow(`process ${process.pid} is using it (${path}.lock)`);
  await store.close();
  await opened();
});

it("writes nothing once another process has taken its file over", async () => {
  const { store } = await opened();
  await store.put(entry("a"));
  // The lock of another: this process did not touch its own for long, as after SIGSTOP.
  await rm(`${path}.lock`);
  const now = Date.now();
  vi.spyOn(Date, "now").mockImplementation(() => now + 60_000);
  const { store: other, state } = await opened();
  expect(state.outgoing).toEqual([entry("a")]);
  await expect(store.put(entry("b"))).rejects.toThrow("has taken");
  await other.put(entry("c"));
  await store.close();
  await other.close();
  expect((await opened()).state.outgoing).toEqual([entry("a"), entry("c")]);
});

/** What all file handles inherit. */
async function handles(): Promise<FileHandle> {
  const file = await open(join(dir, "any"), "w");
  await file.close();
  return Object.getPrototypeOf(file) as FileHandle;
}

it.each([0, 1])("goes on after a write that failed half-way, with the cut failing %i times", async (cuts) => {
  const { store } = await opened();
  await store.put(entry("a"));
  const prototype = await handles();
  const full = (): Promise<never> => Promise.reject(Object.assign(new Error("no space left"), { code: "ENOSPC" }));
  vi.spyOn(prototype, "appendFile").mockImplementationOnce(async function (this: FileHandle, bytes) {
    await this.write((bytes as Buffer).subarray(0, 10));
    return full();
  });
  const truncate = vi.spyOn(prototype, "truncate");
  for (let n = 0; n < cuts; n++) truncate.mockImplementationOnce(full);
  await expect(store.put(entry("lost"))).rejects.toThrow("no space left");
  await store.put(entry("b"));
  await store.put(entry("c"));
  await store.close();
  expect((await opened()).state.outgoing).toEqual([entry("a"), entry("b"), entry("c")]);
  expect(await readFile(path, "utf8")).not.toContain("\0");
});

it("rejects when it cannot write, and goes on when it can", async () => {
  const { store } = await opened();
  await store.put(entry("a"));
  await store.close();
  await expect(store.put(entry("b"))).rejects.toThrow("not open");
  expect((await store.load()).outgoing).toEqual([entry("a")]);
  stores.push(store);
  await store.put(entry("b"));
});
