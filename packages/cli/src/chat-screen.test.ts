import { PassThrough } from "node:stream";
import { describe, expect, it, vi } from "vitest";
import { COLUMNS, screenOf } from "../test-kit/screen.js";
import { createPlainView, createTerminalView } from "./chat-screen.js";

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
  const onTyping = vi.fn();
  const onLine = (line: string): number => lines.push(line);
  const view = createTerminalView(input, output, { onLine, onEnd, onInterrupt, onTyping });
  return { input, view, lines, onEnd, onInterrupt, onTyping, screen: () => screenOf(bytes) };
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

  it("shows what holds for the moment right above the prompt, and takes it away", async () => {
    const { input, view, screen, lines } = openTerminal();
    const line = view.pending("me: hello …");
    view.status("you are typing…");
    expect(screen()).toEqual(["me: hello …", "you are typing…", ">"]);
    view.status("x".repeat(50));
    input.write("half");
    await vi.waitFor(() => expect(screen().at(-1)).toBe("> half"));
    view.print("you: hi");
    expect(screen()).toEqual(["you: hi", "me: hello …", "x".repeat(40), "x".repeat(10), "> half"]);
    input.write("\r");
    await vi.waitFor(() => expect(lines).toEqual(["half"]));
    line.finish("me: hello ✓");
    view.status(undefined);
    expect(screen()).toEqual(["you: hi", "me: hello ✓", ">"]);
    view.status("still there");
    view.close();
    expect(screen()).toEqual(["you: hi", "me: hello ✓", ">"]);
  });

  it("tells that somebody types, not that they delete all, send, or move about", async () => {
    const { input, view, lines, onTyping } = openTerminal();
    input.write("a");
    await vi.waitFor(() => expect(onTyping).toHaveBeenCalledTimes(1));
    input.write("b");
    await vi.waitFor(() => expect(onTyping).toHaveBeenCalledTimes(2));
    input.write("\u001b[D\u007f\r");
    await vi.waitFor(() => expect(lines).toEqual(["b"]));
    input.write("x\u007f\u0015");
    await vi.waitFor(() => expect(onTyping).toHaveBeenCalledTimes(4));
    view.close();
    input.write("y");
    await new Promise((resolve) => setImmediate(resolve));
    expect(onTyping).toHaveBeenCalledTimes(4);
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
      onTyping: () => undefined,
    });
    input.end("one\r\ntwo");
    await vi.waitFor(() => expect(onEnd).toHaveBeenCalledOnce());
    const line = view.pending("one …");
    line.update("one .");
    line.finish("one ✓");
    expect([lines, shown]).toEqual([["one", "two"], ["one ✓"]]);
  });
});
