import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Pace } from "./pace.js";

const onGo = vi.fn();

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0);
  onGo.mockReset();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const make = (): Pace => new Pace({ max: 256, maxAfterRefusal: 4, onGo });

it("stops for as long as the server says, then begins with little", () => {
  const pace = make();
  expect(pace.limit).toBe(256);
  pace.refused(5_000);
  expect(pace.limit).toBe(0);
  vi.advanceTimersByTime(4_999);
  expect([pace.limit, onGo.mock.calls.length]).toEqual([0, 0]);
  vi.advanceTimersByTime(1);
  expect([pace.limit, onGo.mock.calls.length]).toEqual([4, 1]);
  for (const expected of [8, 16, 32, 64, 128, 256, 256]) {
    vi.advanceTimersByTime(5_000);
    expect(pace.limit).toBe(expected);
  }
});

it("takes what was under way for one refusal, and longer pauses for the next", () => {
  const pace = make();
  for (let n = 0; n < 200; n++) pace.refused(0);
  vi.advanceTimersByTime(250);
  expect(pace.limit).toBe(4);
  for (const pauseMs of [500, 1_000, 1_000]) {
    pace.refused(20);
    vi.advanceTimersByTime(pauseMs - 1);
    expect(pace.limit).toBe(0);
    vi.advanceTimersByTime(1);
    expect(pace.limit).toBe(4);
  }
  vi.advanceTimersByTime(11_000);
  pace.refused(0);
  vi.advanceTimersByTime(250);
  expect(pace.limit).toBe(4);
});

it("goes on at once on another connection, with little", () => {
  const pace = make();
  pace.refused(60_000);
  pace.interrupt();
  expect([pace.limit, vi.getTimerCount()]).toEqual([4, 0]);
});
