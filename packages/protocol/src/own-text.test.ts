import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { ownText } from "./own-text.js";

const COUNT = 5_000;
const BLOCK_BYTES = 2_000;

it("keeps its characters, and nothing of the text that they stood in", () => {
  for (const text of ["", "X-y_z 09ÿ", "\ufeffé👋".repeat(20)]) expect(ownText(text)).toBe(text);
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const kept: string[] = [];
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let n = 0; n < COUNT; n++) {
    const block = Buffer.alloc(BLOCK_BYTES, 0x61 + (n % 26)).toString("latin1");
    kept.push(ownText(block.slice(100, 150)));
  }
  collect();
  expect(process.memoryUsage().heapUsed - before).toBeLessThan((COUNT * BLOCK_BYTES) / 4);
  expect(kept).toHaveLength(COUNT);
});
