import { expect, test } from "vitest";
import { identifyProcess } from "./process-identity.js";
import { runCommand } from "./run-command.js";

const node = (script: string, signal: AbortSignal, onLine: (line: string) => void = () => {}) =>
  runCommand({ command: process.execPath, args: ["-e", script], env: process.env, signal, onLine });

test("standard output is returned, and both outputs are told line by line", async () => {
  const lines: string[] = [];
  const script = "console.log('one'); console.error('two'); console.log('three')";
  expect(await node(script, new AbortController().signal, (line) => lines.push(line))).toBe("one\nthree");
  expect(lines.sort()).toEqual(["one", "three", "two"]);
});

test("a failure carries what the program complained about", async () => {
  const { signal } = new AbortController();
  await expect(node("console.error('no such thing'); process.exit(3)", signal)).rejects.toThrow(
    /ended with code 3\nno such thing/,
  );
  await expect(runCommand({ command: "no-such-program", args: [], env: process.env, signal })).rejects.toThrow(
    "ENOENT",
  );
});

test("an abort ends the program and what it started", async () => {
  const script = `
    const child = require("node:child_process").spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
    child.on("exit", () => process.exit(0));
    process.on("SIGINT", () => {});
    console.log(child.pid);`;
  const abort = new AbortController();
  let grandchild = 0;
  const run = node(script, abort.signal, (line) => {
    grandchild = Number(line);
    abort.abort(new Error("another was faster"));
  });
  await expect(run).rejects.toThrow("another was faster");
  expect(grandchild).toBeGreaterThan(0);
  expect(await identifyProcess(grandchild)).toBeUndefined();
});
