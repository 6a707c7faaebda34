import fc from "fast-check";
import { expect, test } from "vitest";
import { entryId } from "./entry-id.js";
import { partitionOf } from "./partition.js";

const parts = fc.tuple(fc.string(), fc.constantFrom("message", "copy"), fc.string(), fc.string(), fc.nat(20));

test("an entry id is safe in a header and differs when any part differs", () => {
  fc.assert(
    fc.property(parts, parts, (a, b) => {
      const [first, second] = [entryId(...a), entryId(...b)];
      expect(first).toMatch(/^[\w-]{43}$/);
      expect(first === second).toBe(JSON.stringify(a) === JSON.stringify(b));
    }),
    { numRuns: 2_000 },
  );
});

test("moving a character from one part to the next makes another id", () => {
  expect(entryId("ab", "message", "c", "d")).not.toBe(entryId("a", "message", "bc", "d"));
  expect(entryId("a", "message", "bc", "d")).not.toBe(entryId("a", "message", "b", "cd"));
});

test("the partition of an EID never changes", () => {
  // Computed by another implementation of FNV-1a. Another hash would lose every log of an installation.
  expect(["alice@example.com", "bob@example.com", "ünïcode@x", "a"].map((eid) => partitionOf(eid, 1_000_003))).toEqual([
    814799, 519980, 530700, 990745,
  ]);
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.integer({ min: 1, max: 64 }), (eid, n) => partitionOf(eid, n) < n),
  );
});
