import { expect, it } from "vitest";
import { clipped, columnsOf } from "./text-width.js";

it.each([
  ["abc", 3],
  ["\u001b[31mred\u001b[39m", 3],
  ["日本", 4],
  ["e\u0301👋", 3],
])("%j takes %i columns", (text, columns) => {
  expect(columnsOf(text)).toBe(columns);
});

it.each([
  ["abc", 3, "abc"],
  ["abcd", 3, "ab…"],
  ["日本語", 4, "日…"],
  ["e\u0301e\u0301e", 2, "e\u0301…"],
  ["abc", 1, "…"],
  ["abc", 0, ""],
])("%j in %i columns is %j", (text, columns, shown) => {
  expect(clipped(text, columns)).toBe(shown);
});
