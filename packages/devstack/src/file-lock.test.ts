import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type FileLock, LockedError, takeLock, waitForLock } from "./file-lock.js";
import { identifyProcess } from "./process-identity.js";

let dir: string;
let path: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "bimip-lock-"));
  path = join(dir, "lock");
});
afterEach(() => rm(dir, { recursive: true, force: true }));

test("a held lock is refused with its holder, and free again after release", async () => {
  const lock = await takeLock(path);
  await expect(takeLock(path)).rejects.toThrow(LockedError);
  await expect(takeLock(path)).rejects.toMatchObject({ pid: process.pid });
  await lock.release();
  await (await takeLock(path)).release();
});

test("the lock of a dead process, of a reused process id, and a broken file do not count", async () => {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
  await once(child, "spawn");
  const identity = await identifyProcess(child.pid ?? 0);
  const holder = JSON.stringify({ pid: child.pid, startedAt: identity?.startedAt });
  await writeFile(`${path}.7`, holder);
  await expect(takeLock(path)).rejects.toMatchObject({ pid: child.pid });
  child.kill("SIGKILL");
  await once(child, "exit");
  await (await takeLock(path)).release();

  for (const stale of [JSON.stringify({ pid: process.pid, startedAt: "another time" }), "", "{", "null"]) {
    const latest = Math.max(...(await readdir(dir)).map((name) => Number(name.split(".")[1])));
    await writeFile(`${path}.${latest}`, stale);
    await (await takeLock(path)).release();
  }
  // The last two generations, however many there were.
  expect((await readdir(dir)).length).toBe(2);
});

/** Without a pause between attempts, which brings them as close together as can be. */
async function takeSoon(): Promise<FileLock> {
  for (;;) {
    try {
      return await takeLock(path);
    } catch (error) {
      if (!(error instanceof LockedError)) throw error;
    }
  }
}

test("waiting for a lock tells its holder once, and ends with its release", async () => {
  const lock = await takeLock(path);
  const told: number[] = [];
  const next = waitForLock(path, (pid) => {
    told.push(pid);
    void lock.release();
  });
  await (await next).release();
  expect(told).toEqual([process.pid]);
});

test("of many that find a stale lock one holds it at a time", async () => {
  await writeFile(`${path}.1`, "stale");
  let holders = 0;
  let most = 0;
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let turn = 0; turn < 5; turn++) {
        const lock = await takeSoon();
        most = Math.max(most, ++holders);
        await readdir(dir);
        holders--;
        await lock.release();
      }
    }),
  );
  expect(most).toBe(1);
});
