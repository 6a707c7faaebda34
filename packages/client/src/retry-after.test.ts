import { expect, it } from "vitest";
import { retryAfterMs } from "./retry-after.js";

it.each([
  ["more than 50 messages a second, try again in 0.4 s", 400],
  ["try again in 1 s", 1_000],
  ["closed: 200 refused stanzas in 10 s, try again in 10 s", 10_000],
  ["come back in 250 ms", 250],
  ["try again in 2 min", 120_000],
  ["try again in 999999999 s", 3_600_000],
  ["not stored, try again with the same id", 0],
  ["try again in a while", 0],
  ["try again in -5 s", 0],
  ["", 0],
])("%s", (details, expected) => {
  expect(retryAfterMs({ details })).toBe(expected);
});
