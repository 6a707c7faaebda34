import { randomUUID } from "node:crypto";
import { link, readdir, rm, unlink, writeFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { hasCode, readIfThere } from "./files.js";
import { identifyProcess } from "./process-identity.js";

const POLL_MS = 100;

/** A lock that this process holds. */
export interface FileLock {
  /** Gives it back; again does nothing. */
  release(): Promise<void>;
}

/** A live process, this one or another, holds the lock. */
export class LockedError extends Error {
  override readonly name = "LockedError";
  readonly pid: number;

  constructor(path: string, pid: number) {
    super(`${path} is held by process ${pid}`);
    this.pid = pid;
  }
}

/**
 * Takes a lock that is a file naming its holder. A holder that died, however it died, no longer counts.
 *
 * The files are `<path>.<generation>`, and only the highest generation counts. A lock that is free or stale is never
 * deleted or overwritten by another process, but followed by the next generation, which the system lets only one create:
 * so no process can mistake another's fresh lock for the stale one it has just looked at.
 *
 * @throws LockedError when it is held.
 */
export async function takeLock(path: string): Promise<FileLock> {
  const self = await identifyProcess(process.pid);
  const draft = `${path}-${process.pid}-${randomUUID()}`;
  // Linked into place in one piece: nobody ever reads a lock whose holder is not written yet.
  await writeFile(draft, JSON.stringify({ pid: process.pid, startedAt: self?.startedAt ?? "" }), { mode: 0o600 });
  try {
    for (;;) {
      const [latest = 0] = await generations(path);
      if (latest > 0) await assertFree(`${path}.${latest}`);
      const mine = `${path}.${latest + 1}`;
      try {
        await link(draft, mine);
      } catch (error) {
        if (hasCode(error, "EEXIST")) continue;
        throw error;
      }
      const [newest, , ...outdated] = await generations(path);
      // The list was old: others took and gave back the lock meanwhile, and cleared this generation away.
      if (newest !== latest + 1) {
        await rm(mine, { force: true });
        continue;
      }
      // The one before stays, so that a process listing the folder just now sees at least one of the two.
      for (const one of outdated) await rm(`${path}.${one}`, { force: true });
      return heldLock(mine);
    }
  } finally {
    await unlink(draft);
  }
}

/** Takes the lock as soon as its holder gives it back or dies. `onWait` is told the holder once. */
export async function waitForLock(path: string, onWait: (pid: number) => void): Promise<FileLock> {
  for (let told = false; ; told = true) {
    try {
      return await takeLock(path);
    } catch (error) {
      if (!(error instanceof LockedError)) throw error;
      if (!told) onWait(error.pid);
      await sleep(POLL_MS);
    }
  }
}

function heldLock(file: string): FileLock {
  let released = false;
  return {
    async release() {
      if (released) return;
      released = true;
      // A file that names nobody is free. It is kept: its number must not be used again.
      await writeFile(file, "");
    },
  };
}

/** The numbers of the lock's files, highest first. */
async function generations(path: string): Promise<number[]> {
  const prefix = `${basename(path)}.`;
  const names = await readdir(dirname(path));
  return names
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => b - a);
}

/** @throws LockedError when the file names a live process. */
async function assertFree(file: string): Promise<void> {
  const holder = parseHolder((await readIfThere(file)) ?? "");
  const running = holder && (await identifyProcess(holder.pid));
  if (holder && running?.startedAt === holder.startedAt) throw new LockedError(file, holder.pid);
}

function parseHolder(text: string): { pid: number; startedAt: string } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || !("pid" in value) || !("startedAt" in value)) return undefined;
    const { pid, startedAt } = value;
    return typeof pid === "number" && typeof startedAt === "string" ? { pid, startedAt } : undefined;
  } catch {
    return undefined;
  }
}
