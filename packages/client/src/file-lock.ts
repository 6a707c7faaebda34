import { link, readFile, readlink, rename, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { randomId } from "./random-id.js";

/** Milliseconds. Tests have shorter ones. */
export interface LockTiming {
  /** The holder touches the lock so often. */
  readonly touchMs: number;
  /** A lock that nobody touched for so long is taken over, but not before it was watched for two touches. */
  readonly staleMs: number;
}

const TIMING: LockTiming = { touchMs: 2_000, staleMs: 15_000 };
/** Of several that replace a stale lock at once the last one has it; so long they wait to see who that is. */
const SETTLE_MS = 100;

export interface FileLock {
  /** Rejects when the lock is another's by now, as after this process was stopped for long. */
  check(): Promise<void>;
  release(): Promise<void>;
}

/** What a lock file says, as JSON. */
interface Holder {
  /** Where its process id means something: host, boot and namespace of process ids. */
  readonly place: string;
  readonly pid: number;
  readonly token: string;
}

/**
 * Takes the lock file. That of a process that has ended here is taken over at once; one of another container, or of
 * before a reboot, when nobody touched it for 15 s.
 *
 * @throws Error naming the file and the process while somebody holds it, this process included
 */
export async function lockFile(path: string, timing: LockTiming = TIMING): Promise<FileLock> {
  const lock = new HeldLock(resolve(path), timing);
  await lock.take();
  return lock;
}

class HeldLock implements FileLock {
  readonly #path: string;
  readonly #timing: LockTiming;
  readonly #token = randomId();
  #timer: ReturnType<typeof setInterval> | undefined;
  #touchedMs = 0;
  #isLost = false;

  constructor(path: string, timing: LockTiming) {
    this.#path = path;
    this.#timing = timing;
  }

  async take(): Promise<void> {
    const place = await thisPlace();
    const own = `${this.#path}.${this.#token}`;
    const holder: Holder = { place, pid: process.pid, token: this.#token };
    await writeFile(own, JSON.stringify(holder), { mode: 0o600 });
    try {
      // A link appears with its content, and only where there is none.
      for (;;) {
        this.#touchedMs = Date.now();
        const error = await link(own, this.#path).catch((thrown: NodeJS.ErrnoException) => thrown);
        if (error === undefined) break;
        if (error.code !== "EEXIST") throw error;
        const stale = await findStale(this.#path, place, this.#timing);
        if (stale !== undefined && (await this.#replace(stale, own))) break;
      }
    } finally {
      await unlink(own).catch(() => undefined);
    }
    // While it waited its file grew old.
    await this.#touch();
    this.#timer = setInterval(() => void this.#touch(), this.#timing.touchMs).unref();
  }

  async check(): Promise<void> {
    // The clock on the wall also runs while the machine sleeps.
    if (Math.abs(Date.now() - this.#touchedMs) > this.#timing.staleMs / 2) await this.#touch();
    if (this.#isLost)
      throw new Error(`another process has taken ${this.#path} over: this one had not answered for long`);
  }

  async release(): Promise<void> {
    clearInterval(this.#timer);
    if (await this.#isOurs().catch(() => false)) await unlink(this.#path).catch(() => undefined);
  }

  /** false: it is not that lock any more. */
  async #replace(stale: string, own: string): Promise<boolean> {
    if ((await readIfThere(this.#path)) !== stale) return false;
    this.#touchedMs = Date.now();
    // Never away in between: whoever saw it missing would take it as well.
    await rename(own, this.#path);
    await sleep(SETTLE_MS);
    if (await this.#isOurs()) return true;
    throw new Error(`another process was faster to take it over (${this.#path})`);
  }

  async #isOurs(): Promise<boolean> {
    return parseHolder(await readFile(this.#path, "utf8"))?.token === this.#token;
  }

  async #touch(): Promise<void> {
    const now = new Date();
    try {
      if (!(await this.#isOurs())) return this.#lose();
      await utimes(this.#path, now, now);
      this.#touchedMs = now.getTime();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") this.#lose();
    }
  }

  #lose(): void {
    this.#isLost = true;
    clearInterval(this.#timer);
  }
}

/** What the lock says when nobody holds it any more; undefined when it is gone. Throws while somebody holds it. */
async function findStale(lock: string, place: string, timing: LockTiming): Promise<string | undefined> {
  const found = await readIfThere(lock);
  if (found === undefined) return undefined;
  const holder = parseHolder(found);
  // A power cut leaves an empty file, or zeros.
  if (holder === undefined && found.replaceAll("\0", "").trim() !== "") {
    throw new Error(`${lock} is not a lock of ours; remove it if nobody uses it`);
  }
  const isHere = holder?.place === place;
  if (!(isHere && !isAlive(holder.pid))) await watch(lock, found, isHere, timing);
  return found;
}

/** Resolves when the lock is stale; throws as soon as it shows that somebody holds it. */
async function watch(lock: string, found: string, isHere: boolean, { touchMs, staleMs }: LockTiming): Promise<void> {
  const first = await touchedMs(lock);
  if (first === undefined) return;
  const ageMs = Date.now() - first;
  const pid = parseHolder(found)?.pid ?? "?";
  const inUse = new Error(`process ${pid} ${isHere ? "" : "of another host or container "}is using it (${lock})`);
  // Here one clock serves both; a process that lives and was just there need not be watched.
  if (isHere && Math.abs(ageMs) < staleMs) throw inUse;
  // Another host's clock may be wrong, a laptop may have slept: what is alive touches its lock meanwhile.
  const untilMs = performance.now() + Math.max(2 * touchMs, ageMs < 0 ? staleMs : staleMs - ageMs);
  while (performance.now() < untilMs) {
    await sleep(touchMs / 4);
    const now = await touchedMs(lock);
    if (now === undefined) return;
    if (now !== first || (await readIfThere(lock)) !== found) throw inUse;
  }
}

async function touchedMs(lock: string): Promise<number | undefined> {
  return (await stat(lock).catch(() => undefined))?.mtimeMs;
}

async function readIfThere(lock: string): Promise<string | undefined> {
  return readFile(lock, "utf8").catch(() => undefined);
}

async function thisPlace(): Promise<string> {
  const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "");
  const namespace = await readlink("/proc/self/ns/pid").catch(() => "");
  return [hostname(), boot.trim(), namespace].join(" ");
}

function parseHolder(text: string): Holder | undefined {
  try {
    const { place, pid, token } = JSON.parse(text) as Partial<Record<keyof Holder, unknown>>;
    if (typeof place !== "string" || typeof token !== "string") return undefined;
    return typeof pid === "number" && Number.isSafeInteger(pid) && pid > 0 ? { place, pid, token } : undefined;
  } catch {
    return undefined;
  }
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
