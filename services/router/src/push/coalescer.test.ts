import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Coalescer } from "./coalescer.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function coalescer() {
  const flushed: [number, string, readonly number[]][] = [];
  const items = new Coalescer<number>(200, async (key, waiting) => {
    flushed.push([Date.now() - startMs, key, waiting]);
  });
  const startMs = Date.now();
  return { flushed, items };
}

test("the first at once, then one in each pause, the last not forgotten", async () => {
  const { flushed, items } = coalescer();
  items.add("a", 1);
  await vi.advanceTimersByTimeAsync(0);
  items.add("a", 2);
  items.add("a", 3);
  items.add("b", 4);
  await vi.advanceTimersByTimeAsync(150);
  items.add("a", 5);
  await vi.advanceTimersByTimeAsync(1_000);
  items.add("a", 6);
  await vi.advanceTimersByTimeAsync(0);
  expect(flushed).toEqual([
    [0, "a", [1]],
    [0, "b", [4]],
    [200, "a", [2, 3, 5]],
    [1_150, "a", [6]],
  ]);
});

test("what comes while a flush is under way is flushed after it", async () => {
  const flushed: (readonly number[])[] = [];
  let finish = (): void => undefined;
  const items = new Coalescer<number>(200, async (_key, waiting) => {
    flushed.push(waiting);
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
  });
  items.add("a", 1);
  items.add("a", 2);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(flushed).toEqual([[1]]);
  finish();
  await vi.advanceTimersByTimeAsync(200);
  expect(flushed).toEqual([[1], [2]]);
});

test("end flushes what waits, without pauses", async () => {
  const { flushed, items } = coalescer();
  items.add("a", 1);
  await vi.advanceTimersByTimeAsync(10);
  items.add("a", 2);
  await items.end();
  expect(flushed).toEqual([
    [0, "a", [1]],
    [10, "a", [2]],
  ]);
});
