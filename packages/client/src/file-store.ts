import { type FileHandle, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { ClientStore, StoredOutgoing, StoredProgress, StoredState } from "./client-store.js";
import { type FileLock, lockFile } from "./file-lock.js";
import { type Line, StoreContent } from "./store-file-lines.js";

/** The file is written anew when it is larger than twice its content and this. */
const SLACK_BYTES = 1024 * 1024;

/**
 * A store in one file, for Node: lines of JSON, appended, from time to time written anew. A message counts as queued
 * after fsync. The folder is made where there is none; only the own user may read the file.
 *
 * `<path>.lock` keeps out whoever else opens the same file: processes, threads, containers. Opening rejects while
 * somebody holds it; after a crash of another container, or of the machine, it may take up to 15 s.
 */
export function fileStore(path: string): ClientStore {
  return new FileStore(path);
}

interface Write {
  readonly line: Line;
  /** Waits for fsync. */
  readonly durable: boolean;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

class FileStore implements ClientStore {
  readonly #path: string;
  #content = new StoreContent();
  #file: FileHandle | undefined;
  #lock: FileLock | undefined;
  /** Good bytes in the file. */
  #bytes = 0;
  /** Behind the good bytes may lie half a line, behind which nothing could be read. */
  #isTorn = false;
  #bytesAnew = 0;
  #writes: Write[] = [];
  #writing: Promise<void> | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  async load(): Promise<StoredState> {
    if (this.#lock !== undefined) throw new Error(`${this.#path} is open already`);
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    const lock = await lockFile(`${this.#path}.lock`);
    try {
      this.#content = StoreContent.parse(await readIfThere(this.#path));
      // Also cuts off a torn last line, behind which nothing could be appended.
      await this.#writeAnew();
    } catch (cause) {
      await this.#file?.close();
      this.#file = undefined;
      await lock.release();
      throw new Error(`${this.#path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
    this.#lock = lock;
    return this.#content.state();
  }

  put({ key, frame }: StoredOutgoing): Promise<void> {
    return this.#append({ put: key, frame: Buffer.from(frame).toString("base64") }, true);
  }

  remove(key: string): Promise<void> {
    return this.#append({ remove: key }, false);
  }

  save(progress: StoredProgress): Promise<void> {
    return this.#append({ progress }, false);
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file?.close();
    this.#file = undefined;
    await this.#lock?.release();
    this.#lock = undefined;
  }

  #append(line: Line, durable: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#writes.push({ line, durable, resolve, reject });
      this.#writing ??= this.#writeAll();
    });
  }

  /** What came while one write ran goes into the next: one fsync serves them all. */
  async #writeAll(): Promise<void> {
    while (this.#writes.length > 0) {
      const writes = this.#writes.splice(0);
      try {
        await this.#lock?.check();
        await this.#write(writes);
        for (const { resolve } of writes) resolve();
        if (this.#bytes > 2 * this.#bytesAnew + SLACK_BYTES) await this.#writeAnew();
      } catch (error) {
        for (const { reject } of writes) reject(error);
      }
    }
    this.#writing = undefined;
  }

  async #write(writes: readonly Write[]): Promise<void> {
    const file = this.#file;
    if (file === undefined) throw new Error(`${this.#path} is not open`);
    const bytes = Buffer.from(writes.map(({ line }) => `${JSON.stringify(line)}\n`).join(""));
    try {
      if (this.#isTorn) await this.#cutTorn(file);
      await file.appendFile(bytes);
      if (writes.some(({ durable }) => durable)) await file.datasync();
    } catch (error) {
      this.#isTorn = true;
      // If not now, then before the next write.
      await this.#cutTorn(file).catch(() => undefined);
      throw error;
    }
    this.#bytes += bytes.length;
    for (const { line } of writes) this.#content.apply(line);
  }

  async #cutTorn(file: FileHandle): Promise<void> {
    await file.truncate(this.#bytes);
    this.#isTorn = false;
  }

  async #writeAnew(): Promise<void> {
    const bytes = Buffer.from(this.#content.toString());
    const fresh = `${this.#path}.new`;
    await rm(fresh, { force: true });
    // "a": what is appended after a cut goes to the end of the file, not to where the last write ended.
    const file = await open(fresh, "ax", 0o600);
    try {
      await file.writeFile(bytes);
      await file.datasync();
      await rename(fresh, this.#path);
    } catch (error) {
      await file.close();
      throw error;
    }
    // The handle follows the file to its new name.
    const before = this.#file;
    this.#file = file;
    this.#bytes = this.#bytesAnew = bytes.length;
    this.#isTorn = false;
    await before?.close();
    await syncFolder(dirname(this.#path));
  }
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new StoreContent().toString();
    throw error;
  }
}

/** A rename is kept only with its folder. */
async function syncFolder(path: string): Promise<void> {
  // Windows cannot open folders, and keeps renames without.
  if (process.platform === "win32") return;
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
