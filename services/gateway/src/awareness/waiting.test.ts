// Waiting for something that happens once. Shows that who gave up is not kept.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Waiting } from "./waiting.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("all are let go when it happens", async () => {
  const waiting = new Waiting();
  const all = [waiting.until(), waiting.until(performance.now() + 1_000)];
  waiting.resolve();
  expect(await Promise.all(all)).toEqual([true, true]);
  expect([waiting.count, vi.getTimerCount()]).toEqual([0, 0]);
});

test("who waited long enough leaves nothing behind", async () => {
  const waiting = new Waiting();
  for (let n = 0; n < 100; n++) {
    const one = waiting.until(performance.now() + 1_000);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await one).toBe(false);
  }
  expect([waiting.count, vi.getTimerCount()]).toEqual([0, 0]);
});
