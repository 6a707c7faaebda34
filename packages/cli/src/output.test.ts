import { describe, expect, it } from "vitest";
import { createOutput, printable } from "./output.js";

function open(isTTY: boolean, env: Record<string, string> = {}, json = false) {
  const written: string[] = [];
  const errors: string[] = [];
  const stdout = { isTTY, write: (text: string) => written.push(text) };
  const stderr = { isTTY, write: (text: string) => errors.push(text) };
  return { written, errors, output: createOutput({ json, stdout, stderr, env }) };
}

describe("colours", () => {
  it("only on a terminal, without NO_COLOR, and never in JSON", () => {
    expect(open(true).output.paint("red", "x")).toBe("\u001b[31mx\u001b[39m");
    expect(open(false).output.paint("red", "x")).toBe("x");
    expect(open(true, { NO_COLOR: "1" }).output.paint("red", "x")).toBe("x");
    expect(open(true, { NO_COLOR: "" }).output.paint("red", "x")).not.toBe("x");
    expect(open(true, { TERM: "dumb" }).output.paint("red", "x")).toBe("x");
    expect(open(true, {}, true).output.paint("red", "x")).toBe("x");
  });
});

describe("lines", () => {
  it("text for people", () => {
    const { written, errors, output } = open(false);
    output.result({ a: 1 }, "one");
    output.say("two");
    output.note("three");
    output.fail("four", 401);
    expect([written, errors]).toEqual([
      ["one\n", "two\n"],
      ["three\n", "bimip: four\n"],
    ]);
  });

  it("JSON for scripts, and nothing else on stdout", () => {
    const { written, errors, output } = open(false, {}, true);
    output.result({ a: 1 }, "one");
    output.say("two");
    output.fail("four", 401);
    output.fail("five");
    expect(written).toEqual(['{"a":1}\n']);
    expect(errors).toEqual(['{"error":"four","code":401}\n', '{"error":"five"}\n']);
  });
});

describe("printable", () => {
  it("disarms what could steer a terminal", () => {
    expect(printable("a\u001b[2Jb\u009bc\u0007\u202e")).toBe("a\\u001b[2Jb\\u009bc\\u0007\\u202e");
    expect(printable("one\r\ntwo\n\tthree ünïcödé 👋")).toBe("one\n  two\n   three ünïcödé 👋");
  });
});
