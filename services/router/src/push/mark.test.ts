import { expect, test } from "vitest";
import { decodeMark, EMPTY_MARK, encodeMark, further, isCovered, later, type Mark, type Retry } from "./mark.js";

const retry: Retry = { epoch: 1, index: 7, tries: 2, notBeforeMs: 1_000, done: ["webhook"] };
const mark: Mark = {
  noticed: { epoch: 1, index: 9 },
  retry,
  claim: { epoch: 1, index: 7, by: "router", untilMs: 2_000 },
};

test("a mark carries what was noticed, a retry, a claim, or nothing; what it cannot read says just 'look'", () => {
  expect(decodeMark(encodeMark(mark))).toEqual(mark);
  expect(decodeMark(encodeMark(EMPTY_MARK))).toEqual(EMPTY_MARK);
  const broken = { noticed: { epoch: 1 }, retry: { ...retry, done: 3 }, claim: { ...mark.claim, by: 4 } };
  for (const text of ["", "{", "null", "3", "{}", '{"retry":"7"}', JSON.stringify(broken)]) {
    expect(decodeMark(text)).toEqual(EMPTY_MARK);
  }
  expect(decodeMark(JSON.stringify({ ...mark, claim: 5 }))).toEqual({ ...mark, claim: undefined });
});

test("of two states the one that is further counts; one of a newer log is", () => {
  const next = { ...retry, tries: 3 };
  const following = { ...retry, index: 8, tries: 1 };
  const renewed = { ...retry, epoch: 2, index: 1, tries: 1 };
  expect(later(undefined, undefined)).toBeUndefined();
  expect(later(retry, undefined)).toBe(retry);
  expect(later(undefined, retry)).toBe(retry);
  expect(later(retry, next)).toBe(next);
  expect(later(next, retry)).toBe(next);
  expect(later(following, next)).toBe(following);
  expect(later(following, renewed)).toBe(renewed);
  expect(further(mark.noticed, { epoch: 1, index: 8 })).toBe(mark.noticed);
});

test("covered is what lies in the same log, up to the place", () => {
  expect(isCovered({ epoch: 1, index: 7 }, { epoch: 1, index: 7 })).toBe(true);
  expect(isCovered({ epoch: 1, index: 8 }, { epoch: 1, index: 7 })).toBe(false);
  expect(isCovered({ epoch: 1, index: 7 }, { epoch: 2, index: 9 })).toBe(false);
  expect(isCovered({ epoch: 1, index: 7 }, undefined)).toBe(false);
});
