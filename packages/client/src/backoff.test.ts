import { expect, it } from "vitest";
import { backoffMs } from "./backoff.js";

it.each([
  [1, 0, 200],
  [2, 0, 400],
  [6, 0, 6_400],
  [7, 0, 10_000],
  [2_000, 0, 10_000],
  [3, 0.5, 400],
])("attempt %i with chance %f waits %f ms", (attempt, random, expected) => {
  expect(backoffMs(attempt, {}, () => random)).toBe(expected);
});

it("can do without jitter", () => {
  expect(backoffMs(2, { minDelayMs: 10, maxDelayMs: 15, jitter: 0 }, () => 0.9)).toBe(15);
});
