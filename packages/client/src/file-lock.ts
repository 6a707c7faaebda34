import { link, readFile, rename, unlink, writeFile } from "node:fs/promises";
import { resolve } from "node:path";

/** Locks of this process: one of them with our own process id is not a leftover of an earlier process with the same. */
const held = new Set<string>();

/**
 * Takes the lock file; the answer gives it back. The lock of a process that has ended is taken over.
 *
 * @throws Error naming the file and the process while another one, or this one, holds it
 */
export async function lockFile(path: string): Promise<() => Promise<void>> {
  const lock = resolve(path);
  if (held.has(lock)) throw new Error(`${path} is in use in this process already`);
  held.add(lock);
  try {
    await take(lock);
  } catch (error) {
    held.delete(lock);
    throw error;
  }
  return async () => {
    await unlink(lock).catch(() => undefined);
    held.delete(lock);
  };
}

async function take(lock: string): Promise<void> {
  const own = `${lock}.${process.pid}`;
  await writeFile(own, String(process.pid), { mode: 0o600 });
  try {
    // A link appears with its content, and only where there is none.
    for (;;) {
      const error = await link(own, lock).catch((thrown: NodeJS.ErrnoException) => thrown);
      if (error === undefined) return;
      if (error.code !== "EEXIST") throw error;
      await removeStale(lock, own);
    }
  } finally {
    await unlink(own).catch(() => undefined);
  }
}

/** Removes the lock of a process that is gone; throws for one that lives. */
async function removeStale(lock: string, own: string): Promise<void> {
  const holder = await readFile(lock, "utf8").catch(() => undefined);
  if (holder === undefined) return;
  refuseLiving(lock, holder);
  // Renamed, since two that found it stale at once must not remove each other's new lock.
  const taken = `${own}.stale`;
  const renamed = await rename(lock, taken).then(
    () => true,
    () => false,
  );
  if (!renamed) return;
  const moved = await readFile(taken, "utf8");
  if (moved !== holder) await link(taken, lock).catch(() => undefined);
  await unlink(taken);
}

function refuseLiving(lock: string, holder: string): void {
  const pid = Number(holder);
  if (!Number.isSafeInteger(pid) || pid <= 0)
    throw new Error(`${lock} is not a lock of ours; remove it if nobody uses it`);
  // Held by this process it would stand in `held`: it is of an earlier one, as after a container's restart.
  if (pid === process.pid || !isAlive(pid)) return;
  throw new Error(`process ${pid} is using it (${lock})`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, as somebody else's.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
