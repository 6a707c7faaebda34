import { expect, it } from "vitest";
import { hexToBytes } from "./hex.js";

it.each([
  ["0803", [8, 3]],
  ["08 03\n1A", [8, 3, 26]],
  ["0x08,0x03", [8, 3]],
  ["08:03", [8, 3]],
  ["080", undefined],
  ["", undefined],
  ["frame.bin", undefined],
])("%j", (text, bytes) => {
  expect(hexToBytes(text)).toEqual(bytes === undefined ? undefined : new Uint8Array(bytes));
});
