import { type FileHandle, mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import type { ClientStore, StoredOutgoing, StoredProgress, StoredState } from "./client-store.js";
import { lockFile } from "./file-lock.js";
import { type Line, StoreContent } from "./store-file-lines.js";

/** The file is written anew when it is larger than twice its content and this. */
const SLACK_BYTES = 1024 * 1024;

/**
 * A store in one file, for Node: lines of JSON, appended, from time to time written anew. A message counts as queued
 * after fsync. The folder is made where there is none; only the own user may read the file. `<path>.lock` keeps a
 * second process out.
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
  #unlock: (() => Promise<void>) | undefined;
  /** Good bytes in the file. */
  #bytes = 0;
  #bytesAnew = 0;
  #writes: Write[] = [];
  #writing: Promise<void> | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  async load(): Promise<StoredState> {
    if (this.#unlock !== undefined) throw new Error(`${this.#path} is open already`);
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    const unlock = await lockFile(`${this.#path}.lock`);
    try {
      this.#content = StoreContent.parse(await readIfThere(this.#path));
      // Also cuts off a torn last line, behind which nothing could be appended.
      await this.#writeAnew();
    } catch (cause) {
      await this.#file?.close();
      this.#file = undefined;
      await unlock();
      throw new Error(`${this.#path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
    this.#unlock = unlock;
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
    await this.#unlock?.();
    this.#unlock = undefined;
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
      await file.appendFile(bytes);
      if (writes.some(({ durable }) => durable)) await file.datasync();
    } catch (error) {
      // Behind half a line nothing could be read.
      await file.truncate(this.#bytes);
      throw error;
    }
    this.#bytes += bytes.length;
    for (const { line } of writes) this.#content.apply(line);
  }

  async #writeAnew(): Promise<void> {
    const bytes = Buffer.from(this.#content.toString());
    const fresh = `${this.#path}.new`;
    const file = await open(fresh, "w", 0o600);
    try {
      await file.writeFile(bytes);
      await file.datasync();
      await rename(fresh, this.#path);
      await syncFolder(dirname(this.#path));
    } catch (error) {
      await file.close();
      throw error;
    }
    await this.#file?.close();
    // The handle follows the file to its new name.
    this.#file = file;
    this.#bytes = this.#bytesAnew = bytes.length;
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
