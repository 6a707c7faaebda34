import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type FileLock, lockFile } from "./file-lock.js";

const FAST = { touchMs: 20, staleMs: 400 };

let dir: string;
let path: string;
const locks: FileLock[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "bimip-lock-"));
  path = join(dir, "a.lock");
});
afterEach(async () => {
  for (const lock of locks.splice(0)) await lock.release();
  await rm(dir, { recursive: true });
});

async function locked(timing = FAST): Promise<FileLock> {
  const lock = await lockFile(path, timing);
  locks.push(lock);
  return lock;
}

/** The lock that this process holds, as another one would have left it, untouched for `agoMs`. */
async function left(change: object, agoMs: number): Promise<void> {
  const lock = await locked();
  const holder = JSON.parse(await readFile(path, "utf8")) as object;
  await lock.release();
  await writeFile(path, JSON.stringify({ ...holder, token: "left", ...change }));
  const then = new Date(Date.now() - agoMs);
  await utimes(path, then, then);
}

async function endedPid(): Promise<number> {
  const child = spawn(process.execPath, ["-e", ""]);
  await once(child, "exit");
  return child.pid ?? 0;
}

const DAY_MS = 86_400_000;

it("lets nobody else in while it is held, leaves no file behind", async () => {
  const lock = await locked();
  await expect(locked()).rejects.toThrow(`process ${process.pid} is using it (${path})`);
  // As a worker thread has it: the same process, modules of its own.
  vi.resetModules();
  const other = await import("./file-lock.js");
  expect(other.lockFile).not.toBe(lockFile);
  await expect(other.lockFile(path, FAST)).rejects.toThrow("is using it");
  await lock.check();
  await lock.release();
  expect(await readdir(dir)).toEqual([]);
  await locked();
});

it("touches the lock, so that one who waits for it sees that its holder lives", async () => {
  await locked();
  const { mtimeMs } = await stat(path);
  await vi.waitFor(async () => expect((await stat(path)).mtimeMs).toBeGreaterThan(mtimeMs));
});

it("takes over at once from a process of this place that has ended", async () => {
  await left({ pid: await endedPid() }, 0);
  await locked({ touchMs: 1_000_000, staleMs: 2_000_000 });
});

it("another container with the same process id: not while it lives, then once it is stale", async () => {
  const away = { place: "another host and boot" };
  await left(away, 0);
  const touching = setInterval(() => void utimes(path, new Date(), new Date()), 20);
  await expect(locked()).rejects.toThrow("of another host or container is using it");
  // Its clock may be a day behind, or ahead.
  clearInterval(touching);
  for (const agoMs of [DAY_MS, -DAY_MS]) {
    await left(away, agoMs);
    let now = Date.now() - agoMs;
    const wrong = setInterval(() => void utimes(path, now++ / 1_000, now / 1_000), 20);
    await expect(locked()).rejects.toThrow("is using it");
    clearInterval(wrong);
    await rm(path);
  }
  await left(away, 0);
  await locked();
});

it("after a reboot the process id may be another's, alive: the lock is stale all the same", async () => {
  const other = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000); console.log('up')"]);
  try {
    await once(other.stdout, "data");
    await left({ pid: other.pid, place: "this host, the boot before" }, DAY_MS);
    await (await locked()).release();
    // Where boots cannot be told apart it is at the same place.
    await left({ pid: other.pid }, DAY_MS);
    await (await locked()).release();
    await left({ pid: other.pid }, 0);
    await expect(locked()).rejects.toThrow(`process ${other.pid} is using it`);
  } finally {
    other.kill("SIGKILL");
    await once(other, "exit");
  }
});

it("a power cut leaves an empty lock; a file of somebody else is left alone", async () => {
  for (const content of ["", "\0\0\0\0"]) {
    await writeFile(path, content);
    await (await locked()).release();
  }
  await writeFile(path, "somebody's file");
  await expect(locked()).rejects.toThrow("not a lock of ours");
  expect(await readFile(path, "utf8")).toBe("somebody's file");
});

it("one who was away too long is told that it lost the lock, and leaves the new one alone", async () => {
  const first = await locked();
  await rm(path);
  const second = await locked();
  await vi.waitFor(() => expect(first.check()).rejects.toThrow("has taken"));
  await first.release();
  await second.check();
  await expect(locked()).rejects.toThrow("is using it");
});

it("of many at once exactly one takes over a stale lock", async () => {
  await left({ place: "gone" }, DAY_MS);
  const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => locked()));
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  expect(await readdir(dir)).toEqual(["a.lock"]);
});
