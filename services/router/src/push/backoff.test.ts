import { expect, test } from "vitest";
import { pauseMs } from "./backoff.js";
import { retryAfterMs } from "./post.js";

const middle = () => 0.5;

test("doubles from the first pause up to five minutes", () => {
  expect([1, 2, 3, 4].map((tries) => pauseMs(tries, 1_000, 0, middle))).toEqual([1_000, 2_000, 4_000, 8_000]);
  expect(pauseMs(20, 1_000, 0, middle)).toBe(300_000);
  expect(pauseMs(2_000, 1_000, 0, middle)).toBe(300_000);
});

test("a quarter up or down", () => {
  expect(pauseMs(1, 1_000, 0, () => 0)).toBe(750);
  expect(pauseMs(1, 1_000, 0, () => 1)).toBe(1_250);
});

test("what the provider asks for is waited for, up to an hour", () => {
  expect(pauseMs(1, 1_000, 60_000, middle)).toBe(60_000);
  expect(pauseMs(5, 1_000, 10, middle)).toBe(16_000);
  expect(pauseMs(1, 1_000, 86_400_000, middle)).toBe(3_600_000);
});

test("Retry-After is seconds or a date", () => {
  const nowMs = Date.parse("2026-01-01T00:00:00Z");
  expect(retryAfterMs("120", nowMs)).toBe(120_000);
  expect(retryAfterMs("Thu, 01 Jan 2026 00:00:30 GMT", nowMs)).toBe(30_000);
  expect(retryAfterMs("Wed, 31 Dec 2025 00:00:00 GMT", nowMs)).toBe(0);
  expect(retryAfterMs("soon", nowMs)).toBeUndefined();
  expect(retryAfterMs(null, nowMs)).toBeUndefined();
});
