import fc from "fast-check";
import { expect, test } from "vitest";
import {
  decodeReceipts,
  encodeReceipts,
  MAX_PER_STATUS,
  mergeReceipts,
  noReceipts,
  type Receipts,
} from "./receipts.js";

const EPOCH = 1_700_000_000_000;
const index = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const receipts: fc.Arbitrary<Receipts> = fc
  .dictionary(fc.constantFrom("3", "4", "5", "13"), fc.uniqueArray(index, { minLength: 1, maxLength: 50 }))
  .map((given) => {
    const byStatus = new Map(Object.entries(given).map(([status, indexes]) => [Number(status), indexes]));
    return mergeReceipts(noReceipts(EPOCH), { epoch: EPOCH, byStatus });
  });
const plain = ({ epoch, byStatus }: Receipts) => ({ epoch, byStatus: Object.fromEntries(byStatus) });

test("what is stored is read again as it was", () => {
  fc.assert(
    fc.property(receipts, (kept) => {
      expect(plain(decodeReceipts(encodeReceipts(kept)))).toEqual(plain(kept));
    }),
  );
});

test("merging is a union: in any order, however often", () => {
  fc.assert(
    fc.property(receipts, receipts, receipts, (a, b, c) => {
      const merged = plain(mergeReceipts(mergeReceipts(a, b), c));
      expect(plain(mergeReceipts(c, mergeReceipts(b, a)))).toEqual(merged);
      expect(plain(mergeReceipts(mergeReceipts(mergeReceipts(a, b), c), b))).toEqual(merged);
      for (const [status, indexes] of a.byStatus)
        expect(merged.byStatus[status]).toEqual(expect.arrayContaining([...indexes]));
    }),
  );
});

test("of each status the highest are kept, some two bytes each", () => {
  const indexes = Array.from({ length: MAX_PER_STATUS + 10 }, (_, n) => 1_000_000_000 + n * 300);
  const kept = mergeReceipts(noReceipts(EPOCH), { epoch: EPOCH, byStatus: new Map([[4, indexes.toReversed()]]) });
  expect(kept.byStatus.get(4)).toEqual(indexes.slice(10));
  expect(encodeReceipts(kept).length).toBeLessThan(2.1 * MAX_PER_STATUS);
});

test("receipts of two logs are never mixed", () => {
  expect(() => mergeReceipts(noReceipts(1), noReceipts(2))).toThrow("two logs");
});
