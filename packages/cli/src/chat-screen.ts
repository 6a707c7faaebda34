import { createInterface, cursorTo, clearScreenDown, type Interface, moveCursor } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { columnsOf } from "./text-width.js";

/** The part of chat that shows things. */
export interface ChatView {
  /** false: lines cannot change once they are shown. */
  readonly live: boolean;
  /** A finished line. */
  print(line: string): void;
  /** A message that may still change; they finish in whatever order. */
  pending(line: string): PendingLine;
  /** A line above the prompt that holds for the moment; undefined takes it away. Nothing where lines cannot change. */
  status(line: string | undefined): void;
  close(): void;
}

/** A line that may still change. */
export interface PendingLine {
  update(line: string): void;
  /** Shows it for the last time. */
  finish(line: string): void;
}

/** What the person does. */
export interface ChatInput {
  readonly onLine: (line: string) => void;
  /** End of input (Ctrl-D, or the pipe's end). */
  readonly onEnd: () => void;
  /** Ctrl-C at the prompt. */
  readonly onInterrupt: () => void;
  /** The line at the prompt has changed, and is not empty. */
  readonly onTyping: () => void;
}

/** Lines in, lines out; a message is shown once it is finished. For pipes and --json. */
export function createPlainView(input: Readable, print: (line: string) => void, handlers: ChatInput): ChatView {
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  lines.on("line", handlers.onLine);
  lines.on("close", handlers.onEnd);
  const pending = (): PendingLine => ({ update: () => undefined, finish: print });
  return { live: false, print, pending, status: () => undefined, close: () => lines.close() };
}

/**
 * A terminal: what is finished scrolls away above; below it the messages under way, what holds for the moment, and the
 * prompt last. Only that lower part is ever drawn again.
 */
export function createTerminalView(input: Readable, output: Writable, handlers: ChatInput): ChatView {
  return new TerminalView(input, output, handlers);
}

const PROMPT = "> ";
const DEFAULT_COLUMNS = 80;

class TerminalView implements ChatView {
  readonly live = true;
  readonly #output: Writable & { columns?: number };
  readonly #lines: Interface;
  readonly #pending: { line: string }[] = [];
  readonly #stopTyping: () => void;
  #status: string | undefined;
  #closed = false;

  constructor(input: Readable, output: Writable, handlers: ChatInput) {
    this.#output = output;
    this.#lines = createInterface({ input, output, prompt: PROMPT, terminal: true });
    this.#lines.on("line", (line) => {
      // The cursor stands below what was typed: that is taken away, the message is drawn in its place.
      this.#erase(this.#rowsOf(PROMPT + line));
      this.#draw();
      handlers.onLine(line);
    });
    this.#lines.on("close", () => {
      this.#closed = true;
      this.#stopTyping();
      handlers.onEnd();
    });
    this.#lines.on("SIGINT", handlers.onInterrupt);
    let typed = "";
    // Behind readline's own listener, which has put the key into the line.
    const onKey = (): void => {
      const { line } = this.#lines;
      if (line !== typed && line.trim() !== "") handlers.onTyping();
      typed = line;
    };
    input.on("keypress", onKey);
    this.#stopTyping = () => void input.off("keypress", onKey);
    this.#lines.prompt();
  }

  print(line: string): void {
    this.#redraw(() => this.#output.write(`${line}\n`));
  }

  pending(line: string): PendingLine {
    const entry = { line };
    this.#redraw(() => this.#pending.push(entry));
    return {
      update: (changed) => {
        this.#redraw(() => {
          entry.line = changed;
        });
      },
      finish: (done) =>
        this.#redraw(() => {
          this.#pending.splice(this.#pending.indexOf(entry), 1);
          this.#output.write(`${done}\n`);
        }),
    };
  }

  status(line: string | undefined): void {
    if (line === this.#status) return;
    this.#redraw(() => {
      this.#status = line;
    });
  }

  close(): void {
    if (this.#closed) return;
    this.status(undefined);
    this.#redraw(() => undefined);
    this.#output.write("\n");
    this.#lines.close();
  }

  /** What stands between what is finished and the prompt. */
  get #lower(): readonly string[] {
    const pending = this.#pending.map(({ line }) => line);
    return this.#status === undefined ? pending : [...pending, this.#status];
  }

  #redraw(change: () => void): void {
    if (this.#closed) return change();
    this.#erase(this.#lines.getCursorPos().rows);
    change();
    this.#draw();
  }

  /** Erases the lower part; the cursor stands `promptRows` below the prompt's first row. */
  #erase(promptRows: number): void {
    const rows = this.#lower.reduce((sum, line) => sum + this.#rowsOf(line), promptRows);
    moveCursor(this.#output, 0, -rows);
    cursorTo(this.#output, 0);
    clearScreenDown(this.#output);
  }

  #draw(): void {
    for (const line of this.#lower) this.#output.write(`${line}\n`);
    this.#lines.prompt(true);
  }

  #rowsOf(text: string): number {
    // Some terminals say 0 when they do not know.
    const columns = this.#output.columns || DEFAULT_COLUMNS;
    const rows = (line: string): number => Math.max(1, Math.ceil(columnsOf(line) / columns));
    return text.split("\n").reduce((sum, line) => sum + rows(line), 0);
  }
}
