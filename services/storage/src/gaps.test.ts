import fc from "fast-check";
import { expect, test } from "vitest";
import { findGap, type GapFacts } from "./gaps.js";

const DAY_MS = 86_400_000;
const facts = (differs: Partial<GapFacts>): GapFacts => ({
  position: 100,
  trimmedTo: 0,
  firstId: 50,
  handed: 100,
  lastSeenMs: 10 * DAY_MS,
  nowMs: 10 * DAY_MS,
  maxAgeMs: 0,
  entryKept: async () => false,
  ...differs,
});
const reasonOf = async (differs: Partial<GapFacts>) => (await findGap(facts(differs)))?.reason;

const away = { maxAgeMs: 7 * DAY_MS, lastSeenMs: 2 * DAY_MS, firstId: 150 };

test.each<[string, Partial<GapFacts>, string | undefined]>([
  ["nothing was ever dropped", {}, undefined],
  ["trimmed past the position", { trimmedTo: 101 }, "trimmed"],
  ["trimmed up to the position", { trimmedTo: 100 }, undefined],
  ["trimmed, the log empty", { trimmedTo: 101, firstId: 0 }, "trimmed"],
  ["away for long, the entry at the position gone", away, "expired"],
  ["away for long, the log empty", { ...away, firstId: 0 }, "expired"],
  ["away for long, the entry at the position kept", { ...away, entryKept: async () => true }, undefined],
  ["away for long, older entries are left", { ...away, firstId: 90 }, undefined],
  ["away for long, but nothing is ever dropped", { ...away, maxAgeMs: 0 }, undefined],
  ["away for less than entries are kept", { ...away, lastSeenMs: 4 * DAY_MS }, undefined],
  ["nobody knows when it was here", { ...away, lastSeenMs: 0 }, "expired"],
  ["at position 0, away for long", { ...away, position: 0, handed: 0, entryKept: async () => true }, "expired"],
  ["at position 0, here lately", { ...away, lastSeenMs: 10 * DAY_MS, position: 0, handed: 0 }, undefined],
  ["here lately, what it was handed is gone", { ...away, lastSeenMs: 10 * DAY_MS, handed: 120 }, "expired"],
  ["here lately, part of what it was handed may be gone", { ...away, lastSeenMs: 10 * DAY_MS, handed: 200 }, "expired"],
  ["here lately, had all it was handed", { ...away, lastSeenMs: 10 * DAY_MS }, undefined],
])("%s", async (_title, differs, reason) => {
  expect(await reasonOf(differs)).toBe(reason);
});

test("the details say it in words and numbers", async () => {
  expect((await findGap(facts({ trimmedTo: 120 })))?.text).toBe("entries after 100 up to 120 were trimmed or erased");
  expect((await findGap(facts(away)))?.text).toBe(
    "entries after 100 may be gone: entries older than 604800 s are dropped, this device was last seen 691200 s ago, the oldest left is 150",
  );
  expect((await findGap(facts({ ...away, lastSeenMs: 0, firstId: 0 })))?.text).toBe(
    "entries after 100 may be gone: entries older than 604800 s are dropped, none is left",
  );
});

test("a loss is always told: simulated logs of which the oldest entries are trimmed and expire", async () => {
  const log = fc.record({
    // When each entry was stored, in ms; its index is its place + 1.
    storedMs: fc.array(fc.nat(1_000), { maxLength: 30 }).map((all) => all.sort((a, b) => a - b)),
    trimmedTo: fc.nat(30),
    cursor: fc.nat(30),
    handed: fc.nat(30),
    lastSeenMs: fc.integer({ min: 1, max: 1_000 }),
    maxAgeMs: fc.constantFrom(0, 1, 50, 300),
    restMs: fc.nat(500),
  });
  await fc.assert(
    fc.asyncProperty(log, async ({ storedMs, lastSeenMs, maxAgeMs, restMs, ...indexes }) => {
      const trimmedTo = Math.min(indexes.trimmedTo, storedMs.length);
      const position = Math.min(indexes.cursor, storedMs.length);
      const nowMs = 1_000 + restMs;
      // What was stored before it was last seen was handed to it then, acknowledged or not.
      const handed = Math.max(position, storedMs.filter((atMs) => atMs <= lastSeenMs).length);
      const kept = (index: number) =>
        index > trimmedTo &&
        index <= storedMs.length &&
        (maxAgeMs === 0 || nowMs - (storedMs[index - 1] ?? 0) < maxAgeMs);
      const all = storedMs.map((_, at) => at + 1);
      const lost = all.some((index) => index > position && !kept(index));
      const gap = await findGap({
        position,
        trimmedTo,
        firstId: all.find(kept) ?? 0,
        handed,
        lastSeenMs,
        nowMs,
        maxAgeMs,
        entryKept: async () => kept(position),
      });
      if (lost) expect(gap).toBeDefined();
    }),
    { numRuns: 2_000 },
  );
});
