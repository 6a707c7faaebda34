import { EMPTY_STATE, SEEN_ENTRIES, type StoredProgress, type StoredState } from "./client-store.js";

/** The first line: nobody's other file is taken for a store and written over. */
const HEADER = { store: "bimip", version: 1 };

/** One line of a store's file; what the lines did, one after the other, is its content. */
export type Line =
  | { readonly put: string; readonly frame: string }
  | { readonly remove: string }
  | { readonly progress: StoredProgress };

/** What the lines of a file add up to. */
export class StoreContent {
  /** Frames in base64 by key. */
  readonly #outgoing = new Map<string, string>();
  #progress: Omit<StoredProgress, "seen"> = { owner: EMPTY_STATE.owner, index: 0, epoch: 0 };
  #seen: string[] = [];

  /**
   * Reads a file. A last line that was cut off by a crash is left out: nobody was told that it is kept.
   *
   * @throws Error naming the line for a file that is not a store, or is damaged elsewhere
   */
  static parse(text: string): StoreContent {
    const content = new StoreContent();
    const lines = text.split("\n");
    lines.pop(); // "" behind the last line feed, or a line without one
    for (const [at, line] of lines.entries()) {
      const parsed = parseLine(line);
      if (at === 0 && isHeader(parsed)) continue;
      if (at > 0 && isLine(parsed)) content.apply(parsed);
      else if (at === 0 || at < lines.length - 1) throw new Error(`line ${at + 1} is not one of a BIMIP store`);
    }
    return content;
  }

  apply(line: Line): void {
    if ("put" in line) this.#outgoing.set(line.put, line.frame);
    else if ("remove" in line) this.#outgoing.delete(line.remove);
    else {
      const { seen, ...progress } = line.progress;
      this.#progress = progress;
      this.#seen.push(...seen);
      // Cut now and then only: this is done for every message.
      if (this.#seen.length > 2 * SEEN_ENTRIES) this.#seen = this.#seen.slice(-SEEN_ENTRIES);
    }
  }

  state(): StoredState {
    const outgoing = [...this.#outgoing].map(([key, frame]) => ({
      key,
      frame: new Uint8Array(Buffer.from(frame, "base64")),
    }));
    return { ...this.#progress, seen: this.#seen.slice(-SEEN_ENTRIES), outgoing };
  }

  /** The file that says the same in the fewest lines. */
  toString(): string {
    const { outgoing: _frames, ...progress } = this.state();
    const puts = [...this.#outgoing].map(([put, frame]): Line => ({ put, frame }));
    return [HEADER, { progress }, ...puts].map((line) => `${JSON.stringify(line)}\n`).join("");
  }
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function isHeader(line: unknown): boolean {
  return isObject(line) && line["store"] === HEADER.store && line["version"] === HEADER.version;
}

function isLine(line: unknown): line is Line {
  if (!isObject(line)) return false;
  const { put, frame, remove, progress } = line;
  if (typeof put === "string") return typeof frame === "string";
  if (typeof remove === "string") return true;
  return (
    isObject(progress) &&
    typeof progress["owner"] === "string" &&
    typeof progress["index"] === "number" &&
    typeof progress["epoch"] === "number" &&
    Array.isArray(progress["seen"])
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
