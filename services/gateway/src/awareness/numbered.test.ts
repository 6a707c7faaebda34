import { expect, test } from "vitest";
import { Numbered } from "./numbered.js";

test("numbers without a hole are whole, of each replica for itself, repeats included", () => {
  const numbered = new Numbered();
  expect([1, 2, 3].map((number) => numbered.take("a", number, false))).toEqual([true, true, true]);
  expect(numbered.take("b", 1, false)).toBe(true);
  expect(numbered.take("a", 3, true)).toBe(true);
  expect(numbered.take("a", 4, false)).toBe(true);
});

test("a hole is seen once, in the middle and at the end", () => {
  const numbered = new Numbered();
  numbered.take("a", 1, false);
  expect(numbered.take("a", 3, false)).toBe(false);
  expect(numbered.take("a", 4, false)).toBe(true);
  expect(numbered.take("a", 6, true)).toBe(false);
  expect(numbered.take("a", 7, false)).toBe(true);
});

test("the first of a replica is number 1, or something got lost; one that begins again is whole", () => {
  const numbered = new Numbered();
  expect(numbered.take("a", 2, false)).toBe(false);
  expect(numbered.take("b", 9, true)).toBe(true);
  expect(numbered.take("b", 1, false)).toBe(true);
  expect(numbered.take("b", 2, false)).toBe(true);
});

test("a replica that told nothing for long, while others came and went, goes on where it was", () => {
  const numbered = new Numbered();
  numbered.take("idle", 7, true);
  for (let at = 0; at < 100; at++) numbered.take(`other ${at}`, 1, false);
  expect(numbered.take("idle", 8, false)).toBe(true);
});
