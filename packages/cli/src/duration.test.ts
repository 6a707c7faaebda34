import { expect, it } from "vitest";
import { parseDurationS } from "./duration.js";

it.each([
  ["90", 90],
  ["90s", 90],
  ["15m", 900],
  ["24h", 86_400],
  [" 7d ", 604_800],
  ["0", undefined],
  ["-1h", undefined],
  ["1.5h", undefined],
  ["h", undefined],
  ["", undefined],
  ["99999999999999999d", undefined],
])("%j is %j seconds", (text, seconds) => {
  expect(parseDurationS(text)).toBe(seconds);
});
