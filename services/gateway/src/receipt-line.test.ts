import { expect, test } from "vitest";
import { ReceiptLine, type ReceiptMark } from "./receipt-line.js";

function line() {
  const passed: ReceiptMark[] = [];
  const receipts = new ReceiptLine((mark) => void passed.push(mark));
  return { receipts, passed, indexes: () => passed.map(({ index }) => index) };
}
const at = (index: number): ReceiptMark => ({ index, read: false });

test("the cursor passes a receipt only when it and all before it are concluded, in order", () => {
  const { receipts, indexes } = line();
  const [first, second, third] = [1, 2, 3].map((index) => receipts.begin(at(index)));
  second?.(true);
  third?.(true);
  expect(indexes()).toEqual([]);
  expect(receipts.waiting).toBe(3);
  first?.(true);
  expect(indexes()).toEqual([1, 2, 3]);
  expect(receipts.waiting).toBe(0);
});

test("one that is to be tried again does not move it, nor one without an index; READ is kept apart", () => {
  const { receipts, passed } = line();
  receipts.begin(at(5))(false);
  receipts.begin(at(0))(true);
  receipts.begin({ index: 6, read: true })(true);
  expect(passed).toEqual([{ index: 6, read: true }]);
});
