// Who was told of whom lately. Shows that the newest revision of each recipient counts, for as long as it is remembered.
import { expect, test } from "vitest";
import { Lately } from "./lately.js";

const newer = (lately: Lately<string>, about: string, revision: number): string[] => [
  ...new Set(lately.newer(about, revision).flat()),
];

test("those who were told at a higher revision, of that user alone", () => {
  const lately = new Lately<string>();
  lately.note("a", 5, ["x", "y"]);
  lately.note("a", 7, ["y", "z"]);
  expect(newer(lately, "a", 4)).toEqual(["x", "y", "z"]);
  expect(newer(lately, "a", 5)).toEqual(["y", "z"]);
  expect(newer(lately, "a", 7)).toEqual([]);
  expect(newer(lately, "b", 1)).toEqual([]);
});

test("the same audience again is one entry, at its highest revision", () => {
  const lately = new Lately<string>();
  for (const revision of [5, 9, 6]) lately.note("a", revision, ["x", "y"]);
  expect(lately.newer("a", 8)).toEqual([["x", "y"]]);
  expect(lately.newer("a", 9)).toEqual([]);
});

test("it remembers over one ageing, not over two", () => {
  const lately = new Lately<string>();
  lately.note("a", 5, ["x"]);
  lately.age();
  lately.note("a", 3, ["y"]);
  expect(newer(lately, "a", 2)).toEqual(["y", "x"]);
  lately.age();
  expect(newer(lately, "a", 2)).toEqual(["y"]);
  lately.age();
  expect(newer(lately, "a", 2)).toEqual([]);
});

test("ever other audiences of one user do not add up without end", () => {
  const lately = new Lately<number>();
  for (let n = 0; n < 10_000; n++) lately.note("a", n + 1, [n]);
  expect(lately.newer("a", 0).length).toBeLessThanOrEqual(64);
  expect(lately.newer("a", 9_999)).toEqual([[9_999]]);
});
