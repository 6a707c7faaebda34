import { PassThrough } from "node:stream";
import { describe, expect, it, vi } from "vitest";
import { columnsOf, createPlainView, createTerminalView } from "./chat-screen.js";

const COLUMNS = 40;

/** What a terminal of 40 columns shows after these bytes: just the sequences readline and we write. */
function screenOf(bytes: string): string[] {
  const rows: string[][] = [[]];
  let [row, column] = [0, 0];
  const tokens = bytes.match(/\u001b\[\d*[A-Z]|\r?\n|\r|[^\u001b\r\n]/gu) ?? [];
  for (const token of tokens) {
    const amount = Number(/\d+/.exec(token)?.[0] ?? 1);
    if (token.endsWith("\n")) [row, column] = [row + 1, 0];
    else if (token === "\r") column = 0;
    else if (token.startsWith("\u001b")) {
      if (token.endsWith("A")) row = Math.max(0, row - amount);
      if (token.endsWith("B")) row += amount;
      if (token.endsWith("C")) column += amount;
      if (token.endsWith("D")) column = Math.max(0, column - amount);
      if (token.endsWith("G")) column = amount - 1;
      if (token.endsWith("J")) rows.splice(row, Number.POSITIVE_INFINITY, (rows[row] ?? []).slice(0, column));
    } else {
      if (column === COLUMNS) [row, column] = [row + 1, 0];
      (rows[row] ??= [])[column++] = token;
    }
    rows[row] ??= [];
  }
  return Array.from(rows, (cells) =>
    Array.from(cells ?? [], (cell) => cell ?? " ")
      .join("")
      .trimEnd(),
  ).filter((line) => line !== "");
}

function openTerminal() {
  const input = new PassThrough();
  const output = Object.assign(new PassThrough(), { columns: COLUMNS, isTTY: true });
  let bytes = "";
  output.on("data", (chunk: Buffer) => {
    bytes += chunk.toString();
  });
  const lines: string[] = [];
  const onEnd = vi.fn();
  const onInterrupt = vi.fn();
  const view = createTerminalView(input, output, { onLine: (line) => lines.push(line), onEnd, onInterrupt });
  return { input, view, lines, onEnd, onInterrupt, screen: () => screenOf(bytes) };
}

describe("the terminal view", () => {
  it("shows a message under way above the prompt and lets it scroll away when it is done", async () => {
    const { input, view, lines, screen } = openTerminal();
    input.write("hello\r");
    await vi.waitFor(() => expect(lines).toEqual(["hello"]));
    const first = view.pending("me: hello …");
    expect(screen()).toEqual(["me: hello …", ">"]);
    const second = view.pending("me: again …");
    view.print("you: hi");
    expect(screen()).toEqual(["you: hi", "me: hello …", "me: again …", ">"]);
    first.update("me: hello ✓");
    expect(screen()).toEqual(["you: hi", "me: hello ✓", "me: again …", ">"]);
    second.finish("me: again ✓");
    first.finish("me: hello ✓✓");
    expect(screen()).toEqual(["you: hi", "me: again ✓", "me: hello ✓✓", ">"]);
  });

  it("keeps what is being typed, and counts the rows of long lines", async () => {
    const { input, view, screen } = openTerminal();
    const long = "x".repeat(50);
    const line = view.pending(`me: ${long}`);
    input.write("half a thou");
    await vi.waitFor(() => expect(screen().at(-1)).toContain("> half a thou"));
    view.print("you: hi");
    line.finish("me: done");
    expect(screen()).toEqual(["you: hi", "me: done", "> half a thou"]);
  });

  it("tells Ctrl-C and Ctrl-D", async () => {
    const { input, onInterrupt, onEnd } = openTerminal();
    input.write("\u0003");
    await vi.waitFor(() => expect(onInterrupt).toHaveBeenCalledOnce());
    input.write("\u0004");
    await vi.waitFor(() => expect(onEnd).toHaveBeenCalledOnce());
  });
});

describe("the plain view", () => {
  it("shows what is finished, and the end of the input", async () => {
    const input = new PassThrough();
    const [lines, shown]: [string[], string[]] = [[], []];
    const onEnd = vi.fn();
    const view = createPlainView(input, (line) => shown.push(line), {
      onLine: (line) => lines.push(line),
      onEnd,
      onInterrupt: () => undefined,
    });
    input.end("one\r\ntwo");
    await vi.waitFor(() => expect(onEnd).toHaveBeenCalledOnce());
    const line = view.pending("one …");
    line.update("one .");
    line.finish("one ✓");
    expect([lines, shown]).toEqual([["one", "two"], ["one ✓"]]);
  });
});

it.each([
  ["abc", 3],
  ["\u001b[31mred\u001b[39m", 3],
  ["日本", 4],
  ["e\u0301👋", 3],
])("%j takes %i columns", (text, columns) => {
  expect(columnsOf(text)).toBe(columns);
});
