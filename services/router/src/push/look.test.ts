import { expect, test } from "vitest";
import { doneAt, type Verdict } from "./look.js";

const covered = { epoch: 1, index: 5 };
const verdictOf = (noticed: { epoch: number; index: number } | undefined, ageMs = 0): Verdict["kind"] => {
  const asked = { noticed, markedAtMs: Date.now() - ageMs, retry: undefined, isStopping: () => false };
  return doneAt(covered, asked).kind;
};

test("a look that did not come as far as the log was noticed to reach is not done, until the mark is a minute old", () => {
  expect(verdictOf(undefined)).toBe("done");
  expect(verdictOf({ epoch: 1, index: 5 })).toBe("done");
  expect(verdictOf({ epoch: 1, index: 6 })).toBe("again");
  expect(verdictOf({ epoch: 1, index: 6 }, 61_000)).toBe("done");
});

test("what was noticed of another log does not count", () => {
  expect(verdictOf({ epoch: 2, index: 6 })).toBe("done");
  expect(verdictOf({ epoch: 0, index: 6 })).toBe("done");
});
