import { afterEach, expect, test, vi } from "vitest";
import { ReceiptLine, type ReceiptMark } from "./receipt-line.js";

afterEach(() => {
  vi.useRealTimers();
});

function line() {
  const passed: ReceiptMark[] = [];
  const receipts = new ReceiptLine((mark) => void passed.push(mark));
  const begin = (index: number, read = false) => receipts.begin({ index, read }, `receipt ${index}`);
  return { receipts, passed, begin, indexes: () => passed.map(({ index }) => index) };
}

test("the cursor passes a receipt only when it and all before it are concluded, in order", () => {
  const { receipts, begin, indexes } = line();
  const [first, second, third] = [1, 2, 3].map((index) => begin(index));
  second?.(true);
  third?.(true);
  expect(indexes()).toEqual([]);
  expect(receipts.waiting).toBe(3);
  first?.(true);
  expect(indexes()).toEqual([1, 2, 3]);
  expect(receipts.waiting).toBe(0);
});

test("one that is to be given again holds the cursor until it came again, however often that fails", () => {
  const { receipts, begin, indexes } = line();
  begin(5)(false);
  begin(6)(true);
  begin(5)(false);
  expect(indexes()).toEqual([]);
  begin(5)(true);
  expect(indexes()).toEqual([5, 6, 5]);
  expect(receipts.waiting).toBe(0);
});

test("a client that does not give it again is let through after 15 s", () => {
  vi.useFakeTimers();
  const { begin, indexes } = line();
  begin(5)(false);
  begin(6)(true);
  vi.advanceTimersByTime(14_999);
  expect(indexes()).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(indexes()).toEqual([6]);
});

test("what was not given again before the session ended is never passed", () => {
  vi.useFakeTimers();
  const { receipts, begin, indexes } = line();
  begin(4)(true);
  begin(5)(false);
  begin(6)(true);
  receipts.end();
  vi.advanceTimersByTime(60_000);
  expect(indexes()).toEqual([4]);
});

test("READ is kept apart; what names no index moves nothing", () => {
  const { begin, passed } = line();
  begin(0)(true);
  begin(6, true)(true);
  expect(passed).toEqual([{ index: 6, read: true }]);
});

test("drained waits for those under way, not for those that failed", async () => {
  const line = new ReceiptLine(() => undefined);
  expect(line.drained()).toBeUndefined();
  const first = line.begin({ index: 1, read: false }, "first");
  const second = line.begin({ index: 2, read: false }, "second");
  let isDrained = false;
  const drained = line.drained()?.then(() => {
    isDrained = true;
  });
  first(false);
  await Promise.resolve();
  expect(isDrained).toBe(false);
  second(true);
  await drained;
  expect(isDrained).toBe(true);
  expect(line.drained()).toBeUndefined();
});
