import * as fc from "fast-check";
import { expect, it } from "vitest";
import { TokenRate } from "./token-bucket.js";

/** Asks at each of these times; what came through. */
function through(rate: TokenRate, timesMs: readonly number[]): number[] {
  let fullAtMs = 0;
  return timesMs.filter((nowMs) => {
    if (rate.waitMs(fullAtMs, nowMs) > 0) return false;
    fullAtMs = rate.taken(fullAtMs, nowMs);
    return true;
  });
}

it("lets a burst through, then so many a second", () => {
  const rate = new TokenRate({ perSecond: 10, burst: 5 });
  expect(
    through(
      rate,
      Array.from({ length: 8 }, () => 1_000),
    ),
  ).toHaveLength(5);
  const everyMs = Array.from({ length: 2_000 }, (_, ms) => ms);
  expect(through(rate, everyMs)).toHaveLength(5 + 19);
});

it("says exactly when a token is there, and not before", () => {
  const rate = new TokenRate({ perSecond: 4, burst: 2 });
  let fullAtMs = 0;
  for (let n = 0; n < 2; n++) fullAtMs = rate.taken(fullAtMs, 100);
  expect(rate.waitMs(fullAtMs, 100)).toBe(250);
  expect(rate.waitMs(fullAtMs, 349)).toBe(1);
  expect(rate.waitMs(fullAtMs, 350)).toBe(0);
});

it("lets through who comes back when it was told to, to the millisecond", () => {
  const rates = fc.record({ perSecond: fc.integer({ min: 1, max: 1_000 }), burst: fc.integer({ min: 1, max: 9 }) });
  fc.assert(
    fc.property(rates, fc.double({ min: 0, max: 1e9, noNaN: true }), ({ perSecond, burst }, startMs) => {
      const rate = new TokenRate({ perSecond, burst });
      let fullAtMs = 0;
      let nowMs = startMs;
      for (let n = 0; n < 20; n++) {
        nowMs += Math.ceil(rate.waitMs(fullAtMs, nowMs));
        expect(rate.waitMs(fullAtMs, nowMs)).toBe(0);
        fullAtMs = rate.taken(fullAtMs, nowMs);
      }
    }),
  );
});

it("is full again after its rest, and fuller than full never", () => {
  const rate = new TokenRate({ perSecond: 0.5, burst: 1 });
  expect(through(rate, [0, 1_999, 2_000, 3_999, 100_000, 100_001, 102_000])).toEqual([0, 2_000, 100_000, 102_000]);
});

it("whatever the times, never lets more through than the burst and what came meanwhile", () => {
  const rates = fc.record({ perSecond: fc.integer({ min: 1, max: 1_000 }), burst: fc.integer({ min: 1, max: 50 }) });
  const times = fc
    .array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 300 })
    .map((all) => all.sort((a, b) => a - b));
  fc.assert(
    fc.property(rates, times, ({ perSecond, burst }, timesMs) => {
      const passed = through(new TokenRate({ perSecond, burst }), timesMs);
      for (const [at, fromMs] of passed.entries()) {
        for (const [after, toMs] of passed.slice(at).entries()) {
          expect(after + 1).toBeLessThanOrEqual(burst + ((toMs - fromMs) * perSecond) / 1_000 + 0.001);
        }
      }
    }),
    { numRuns: 200 },
  );
});
