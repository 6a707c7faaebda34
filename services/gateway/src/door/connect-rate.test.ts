import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Arrivals } from "./arrivals.js";
import { ConnectRate } from "./connect-rate.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("an address may open its burst, then as many a second as told, and hears when", () => {
  const rate = new ConnectRate({ perSecond: 2, burst: 3 });
  expect([1, 2, 3, 4].map(() => rate.take("a"))).toEqual([0, 0, 0, 500]);
  expect(rate.take("b")).toBe(0);
  vi.advanceTimersByTime(500);
  expect([rate.take("a"), rate.take("a")]).toEqual([0, 500]);
  vi.advanceTimersByTime(10_000);
  expect([rate.size, vi.getTimerCount()]).toEqual([0, 0]);
});

test("off: whatever comes, nothing is kept", () => {
  const rate = new ConnectRate(undefined);
  for (let n = 0; n < 1_000; n++) expect(rate.take("a")).toBe(0);
  expect([rate.size, vi.getTimerCount()]).toEqual([0, 0]);
});

test("many addresses take bounded memory", () => {
  const rate = new ConnectRate({ perSecond: 0.001, burst: 1 });
  for (let n = 0; n < 100_100; n++) rate.take(`address ${n}`);
  expect(rate.size).toBe(100_000);
  expect(rate.take("address 100099")).toBeGreaterThan(0);
  rate.stop();
  expect(vi.getTimerCount()).toBe(0);
});

test("who has not asked anything is counted until it does, or the transport has closed it", () => {
  const arrivals = new Arrivals(2);
  expect([1, 2, 3].map(() => arrivals.take("a"))).toEqual([true, true, false]);
  expect(arrivals.take("b")).toBe(true);
  arrivals.asked("a");
  expect([1, 2].map(() => arrivals.take("a"))).toEqual([true, false]);
  vi.advanceTimersByTime(12_000);
  expect(arrivals.take("a")).toBe(true);
  vi.advanceTimersByTime(30_000);
  expect([arrivals.size, vi.getTimerCount()]).toEqual([0, 0]);
});

test("more questions than arrivals do no harm", () => {
  const arrivals = new Arrivals(1);
  arrivals.asked("a");
  arrivals.take("a");
  arrivals.asked("a");
  arrivals.asked("a");
  expect([arrivals.take("a"), arrivals.take("a"), arrivals.size]).toEqual([true, false, 1]);
  arrivals.stop();
});
