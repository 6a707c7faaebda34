import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ExpiryWatch } from "./expiry-watch.js";

const DAY_MS = 86_400_000;
const said: [level: string, days: unknown][] = [];
const say =
  (level: string) =>
  (fields: unknown): void => {
    said.push([level, (fields as { days?: number }).days]);
  };
const logger = { warn: say("warn"), error: say("error") } as unknown as ConstructorParameters<typeof ExpiryWatch>[0];

beforeEach(() => {
  vi.useFakeTimers();
  said.length = 0;
});
afterEach(() => {
  vi.useRealTimers();
});

test("a certificate's end is told from 14 days before, once a day, and then that it is there", () => {
  const watch = new ExpiryWatch(logger);
  watch.watch(Date.now() + 90 * DAY_MS);
  vi.advanceTimersByTime(76 * DAY_MS - 1);
  expect(said).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(said).toEqual([["warn", 14]]);
  vi.advanceTimersByTime(13 * DAY_MS);
  expect(said).toHaveLength(14);
  vi.advanceTimersByTime(DAY_MS);
  expect(said.at(-1)).toEqual(["error", undefined]);
  watch.stop();
  expect(vi.getTimerCount()).toBe(0);
});

test("a new one ends it", () => {
  const watch = new ExpiryWatch(logger);
  watch.watch(Date.now() + DAY_MS);
  vi.advanceTimersByTime(1);
  expect(said).toEqual([["warn", 1]]);
  watch.watch(Date.now() + 90 * DAY_MS);
  vi.advanceTimersByTime(10 * DAY_MS);
  expect(said).toHaveLength(1);
  watch.stop();
});
