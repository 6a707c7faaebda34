import { link, readFile, rename, unlink, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { randomUUID } from "node:crypto";
import { hasCode, readIfThere } from "./files.js";
import { identifyProcess } from "./process-identity.js";

const POLL_MS = 100;

/** A lock that this process holds. */
export interface FileLock {
  /** Gives it back; again does nothing. */
  release(): Promise<void>;
}

/** Another live process holds the lock. */
export class LockedError extends Error {
  override readonly name = "LockedError";
  readonly pid: number;

  constructor(path: string, pid: number) {
    super(`${path} is held by process ${pid}`);
    this.pid = pid;
  }
}

interface Holder {
  readonly pid: number;
  readonly startedAt: string;
}

/**
 * Takes a lock that is a file naming its holder. A holder that died, however it died, no longer counts.
 *
 * @throws LockedError when another process, or this one, holds it.
 */
export async function takeLock(path: string): Promise<FileLock> {
  const self = await identifyProcess(process.pid);
  // The token tells two locks of one process apart.
  const mine = JSON.stringify({ pid: process.pid, startedAt: self?.startedAt ?? "", token: randomUUID() });
  const draft = `${path}.${process.pid}-${randomUUID()}`;
  // Linked into place in one piece, so that nobody ever reads a lock whose holder is not written yet.
  await writeFile(draft, mine, { mode: 0o600 });
  try {
    for (;;) {
      try {
        await link(draft, path);
        break;
      } catch (error) {
        if (!hasCode(error, "EEXIST")) throw error;
      }
      await removeIfStale(path);
    }
  } finally {
    await unlink(draft);
  }
  return {
    async release() {
      if ((await readIfThere(path)) === mine) await unlink(path).catch(() => {});
    },
  };
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

/** @throws LockedError when the holder lives. */
async function removeIfStale(path: string): Promise<void> {
  const seen = await readIfThere(path);
  if (seen === undefined) return;
  const holder = parseHolder(seen);
  const running = holder && (await identifyProcess(holder.pid));
  if (holder && running?.startedAt === holder.startedAt) throw new LockedError(path, holder.pid);
  // Moved away and looked at again: another process may have replaced the stale lock by its own since it was read.
  const aside = `${path}.stale-${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return;
    throw error;
  }
  if ((await readFile(aside, "utf8")) !== seen) await link(aside, path).catch(() => {});
  await unlink(aside);
}

function parseHolder(text: string): Holder | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || !("pid" in value) || !("startedAt" in value)) return undefined;
    const { pid, startedAt } = value;
    return typeof pid === "number" && typeof startedAt === "string" ? { pid, startedAt } : undefined;
  } catch {
    return undefined;
  }
}
