import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createAnswerWatch } from "./answer-watch.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("only a question that stays unanswered for five seconds aborts", () => {
  const watch = createAnswerWatch(new AbortController().signal);
  watch.asked("first");
  vi.advanceTimersByTime(4_999);
  watch.answered("first");
  vi.advanceTimersByTime(60_000);
  expect(watch.signal.aborted).toBe(false);

  watch.asked("second");
  vi.advanceTimersByTime(3_000);
  watch.asked("second");
  vi.advanceTimersByTime(4_999);
  expect(watch.signal.aborted).toBe(false);
  vi.advanceTimersByTime(1);
  expect(watch.signal.reason).toEqual(new Error("no answer in 5 s: second"));
});

test("an abort from outside is passed on; a closed watch stays quiet", () => {
  const outside = new AbortController();
  const watch = createAnswerWatch(outside.signal);
  watch.asked("question");
  watch.close();
  vi.advanceTimersByTime(60_000);
  expect(watch.signal.aborted).toBe(false);
  const other = createAnswerWatch(outside.signal);
  outside.abort(new Error("over"));
  expect(other.signal.reason).toEqual(new Error("over"));
  expect(createAnswerWatch(outside.signal).signal.aborted).toBe(true);
});
