import { readFile, stat } from "node:fs/promises";
import { codeOf, fileState } from "@bimip/runtime";
import { KeyError } from "./key-error.js";
import type { KeyReading } from "./key-set.js";
import { readKeyText } from "./key-text.js";
import type { KeySource, VerificationKey } from "./verification-key.js";

const POLL_MS = 1_000;
/** Who names a disk image by mistake shall be told so. */
const MAX_FILE_BYTES = 1_048_576;

export interface KeyFilesOptions {
  /** A file was read: at the start, and when it has changed. */
  readonly onRead?: (path: string, reading: KeyReading) => void;
  /** A file that has changed cannot be used; the keys that it held before stay. */
  readonly onError?: (error: KeyError) => void;
  /** How often the files are looked at; default 1 s. */
  readonly pollMs?: number;
}

interface KeyFile {
  readonly path: string;
  /** Of the file as it was read or refused last. */
  state: string;
  keys: readonly VerificationKey[];
}

/**
 * The keys of files, which are read again when they change. The files are looked at in turn, since notices of changes do
 * not come from every file system, and not for the swapped links that Kubernetes mounts secrets by.
 */
export class KeyFiles implements KeySource {
  keys: readonly VerificationKey[] = [];
  readonly #files: KeyFile[] = [];
  readonly #options: KeyFilesOptions;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(options: KeyFilesOptions) {
    this.#options = options;
  }

  /** Reads all of them. @throws KeyError naming the file that cannot be used */
  static async open(paths: readonly string[], options: KeyFilesOptions = {}): Promise<KeyFiles> {
    const files = new KeyFiles(options);
    for (const path of paths) {
      const file: KeyFile = { path, state: "", keys: [] };
      await files.#read(file);
      files.#files.push(file);
    }
    files.#gather();
    files.#arm();
    return files;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #arm(): void {
    if (this.#closed || this.#files.length === 0) return;
    this.#timer = setTimeout(() => void this.#poll(), this.#options.pollMs ?? POLL_MS).unref();
  }

  async #poll(): Promise<void> {
    for (const file of this.#files) {
      try {
        if (await this.#read(file)) this.#gather();
      } catch (error) {
        this.#options.onError?.(error instanceof KeyError ? error : new KeyError(String(error)));
      }
    }
    this.#arm();
  }

  /** Whether its keys have changed. What is said of a broken file is said once, not at each look. */
  async #read(file: KeyFile): Promise<boolean> {
    const { path } = file;
    try {
      const text = await readIfChanged(file);
      if (text === undefined) return false;
      const reading = readKeyText(text);
      file.keys = reading.keys;
      this.#options.onRead?.(path, reading);
      return true;
    } catch (cause) {
      throw new KeyError(`${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  }

  #gather(): void {
    this.keys = this.#files.flatMap(({ keys }) => keys);
  }
}

/** Its text, undefined where it is as it was read or refused last. */
async function readIfChanged(file: KeyFile): Promise<string | undefined> {
  const before = file.state;
  // Looked at before it is read: what is written in between is another state at the next look.
  const state = await fileState(file.path);
  if (state === before) return undefined;
  try {
    const { size } = await stat(file.path);
    const text = size > MAX_FILE_BYTES ? undefined : await readFile(file.path, "utf8");
    file.state = state;
    if (text === undefined) throw new KeyError(`has more than ${MAX_FILE_BYTES} bytes`);
    return text;
  } catch (cause) {
    if (cause instanceof KeyError) throw cause;
    // Not the state of the file: it is tried again, and told once.
    file.state = codeOf(cause);
    if (file.state === before) return undefined;
    throw cause;
  }
}
