import { expect, test } from "vitest";
import { createBackoff } from "./backoff.js";

test("the wait doubles from 100 ms to 5 s, and starts anew after 30 s of running", () => {
  const backoff = createBackoff();
  expect([0, 0, 0, 29_999, 0, 0, 0, 0].map((upMs) => backoff.next(upMs))).toEqual([
    100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000,
  ]);
  expect(backoff.next(30_000)).toBe(100);
  expect(backoff.next(0)).toBe(200);
});
