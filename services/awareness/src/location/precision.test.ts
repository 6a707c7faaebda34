import fc from "fast-check";
import { expect, test } from "vitest";
import { coarsened } from "./precision.js";

const position = fc.record({
  latitude: fc.double({ min: -90, max: 90, noNaN: true }),
  longitude: fc.double({ min: -180, max: 180, noNaN: true }),
});

test("0 metres: exactly as it was", () => {
  fc.assert(
    fc.property(position, (exact) => {
      expect(coarsened(exact, 0)).toEqual(exact);
    }),
  );
});

test("what is told lies on the globe, within the precision, and tells no more when it is told again", () => {
  fc.assert(
    fc.property(position, fc.integer({ min: 1, max: 50_000 }), (exact, precisionM) => {
      const told = coarsened(exact, precisionM);
      expect(Math.abs(told.latitude)).toBeLessThanOrEqual(90);
      expect(Math.abs(told.longitude)).toBeLessThanOrEqual(180);
      expect(coarsened(told, precisionM)).toEqual(told);
      // Squares are as wide as asked for, or up to twice that where the globe is not a multiple.
      expect(Math.abs(told.latitude - exact.latitude) * 111_320).toBeLessThanOrEqual(precisionM + 0.01);
      const cosine = Math.max(Math.cos((told.latitude * Math.PI) / 180), 0.01);
      const eastM = Math.abs(told.longitude - exact.longitude) * 111_320 * cosine;
      expect(eastM).toBeLessThanOrEqual(precisionM + 0.01);
    }),
  );
});

test("no square is cut where the globe ends", () => {
  const precisionM = 900_000;
  const { latitude, longitude } = coarsened({ latitude: 65, longitude: 179.999 }, precisionM);
  const halfM = (180 - longitude) * 111_320 * Math.cos((latitude * Math.PI) / 180);
  expect(halfM * 2).toBeGreaterThanOrEqual(precisionM);
  expect(
    (90 - coarsened({ latitude: 89.999, longitude: 0 }, precisionM).latitude) * 2 * 111_320,
  ).toBeGreaterThanOrEqual(precisionM);
});

test("all positions of one square are told as one", () => {
  const a = coarsened({ latitude: 52.52001, longitude: 13.40501 }, 1_000);
  const b = coarsened({ latitude: 52.52049, longitude: 13.40549 }, 1_000);
  expect(a).toEqual(b);
});
