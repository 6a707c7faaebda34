import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { BucketPosition } from "./bucket-position.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("those who wait go on when it is there; the others are told after 1.5 s that it does not get there", async () => {
  const position = new BucketPosition("B");
  const [first, second] = [position.reached(1), position.reached(2)];
  position.revision = 1;
  position.wake();
  await first;
  const refused = expect(second).rejects.toThrow("revision 2 of B: the feed does not get there");
  vi.advanceTimersByTime(2_000);
  await refused;
  expect(vi.getTimerCount()).toBe(0);
});

test("however often somebody waits, one timer watches over all", async () => {
  const position = new BucketPosition("B");
  for (let revision = 1; revision <= 1_000; revision++) {
    const reached = position.reached(revision);
    position.revision = revision;
    position.wake();
    await reached;
  }
  expect(vi.getTimerCount()).toBe(1);
  vi.advanceTimersByTime(250);
  expect(vi.getTimerCount()).toBe(0);
});
