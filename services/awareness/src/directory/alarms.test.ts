import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Alarms } from "./alarms.js";

const NOW_MS = 1_700_000_000_000;
let rung: string[];
let alarms: Alarms;

beforeEach(() => {
  vi.useFakeTimers({ now: NOW_MS });
  rung = [];
  alarms = new Alarms();
});
afterEach(() => {
  alarms.clearAll();
  vi.useRealTimers();
});

const set = (key: string, atMs: number, text = key): void => alarms.set(key, atMs, () => rung.push(text));

test("an alarm rings once, at its time, and what is past rings soon", () => {
  set("later", NOW_MS + 1_000);
  set("past", NOW_MS - 1_000);
  vi.advanceTimersByTime(999);
  expect(rung).toEqual(["past"]);
  vi.advanceTimersByTime(10_000);
  expect(rung).toEqual(["past", "later"]);
});

test("a timer that rings before its time by the clock waits for the rest", () => {
  set("a", NOW_MS + 1_000);
  vi.setSystemTime(NOW_MS - 1); // as Node does at times, and a clock that is set back
  vi.advanceTimersByTime(1_000);
  expect(rung).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(rung).toEqual(["a"]);
});

test("a new alarm takes the place of the older one of its key; a cleared one does not ring", () => {
  set("a", NOW_MS + 1_000, "old");
  set("a", NOW_MS + 2_000, "new");
  set("b", NOW_MS + 1_000);
  alarms.clear("b");
  vi.advanceTimersByTime(5_000);
  expect(rung).toEqual(["new"]);
});

test("an alarm further away than Node's longest timer rings at its time", () => {
  const awayMs = 3_000_000_000;
  set("a", NOW_MS + awayMs);
  vi.advanceTimersByTime(awayMs - 1);
  expect(rung).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(rung).toEqual(["a"]);
});
