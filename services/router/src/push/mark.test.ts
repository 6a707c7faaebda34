import { expect, test } from "vitest";
import { decodeMark, encodeMark, later, type Retry } from "./mark.js";

const retry: Retry = { index: 7, tries: 2, notBeforeMs: 1_000, done: ["webhook"] };

test("a mark carries a retry, or nothing; what it cannot read says just 'look'", () => {
  expect(decodeMark(encodeMark(retry))).toEqual(retry);
  expect(encodeMark(undefined)).toBe("");
  for (const text of ["", "{", "null", "3", '{"index":"7"}', '{"index":7,"tries":1,"notBeforeMs":1}']) {
    expect(decodeMark(text)).toBeUndefined();
  }
});

test("of two states the one that is further counts", () => {
  const next = { ...retry, tries: 3 };
  const following = { ...retry, index: 8, tries: 1 };
  expect(later(undefined, undefined)).toBeUndefined();
  expect(later(retry, undefined)).toBe(retry);
  expect(later(undefined, retry)).toBe(retry);
  expect(later(retry, next)).toBe(next);
  expect(later(next, retry)).toBe(next);
  expect(later(following, next)).toBe(following);
});
