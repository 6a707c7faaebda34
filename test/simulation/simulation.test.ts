// The simulation in small, for CI: no rule is broken, one seed has one history, the faults really came, and a bug put into
// the sources is found. Cannot show more than that for these seeds; `npm run simulate` runs thousands.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { applyMutation, readMutations } from "./mutations.js";
import { type Outcome, sumCounts } from "./run-seed.js";
import { SCENARIOS } from "./scenarios.js";
import { ROOT, SourceCopy, simulate } from "./source-copy.js";

const SEEDS = 270;
/** The second time: on their own, not behind others. */
const AGAIN = { first: 240, seeds: 18 };

let outcomes: Outcome[];
beforeAll(async () => {
  outcomes = await simulate(ROOT, ["--seeds", String(SEEDS)]);
});

test(`${SEEDS} seeds break no rule`, () => {
  const failed = outcomes.filter(({ failure }) => failure !== undefined);
  expect(failed.map(({ seed, failure }) => `npm run simulate -- --seed ${seed}: ${failure?.text}`)).toEqual([]);
  expect(outcomes).toHaveLength(SEEDS);
});

test("one seed has one history", async () => {
  const again = await simulate(ROOT, ["--seed", String(AGAIN.first), "--seeds", String(AGAIN.seeds)]);
  expect(again).toEqual(outcomes.slice(AGAIN.first - 1, AGAIN.first - 1 + AGAIN.seeds));
});

test("every scenario ran, messages went through, and what can go wrong did", () => {
  expect(new Set(outcomes.map(({ scenario }) => scenario))).toEqual(new Set(Object.keys(SCENARIOS)));
  expect(outcomes.filter(({ report }) => report?.handed === 0).length).toBeLessThan(SEEDS / 10);
  const counts = sumCounts(outcomes);
  const happened = [
    "gateways killed",
    "outages",
    "elections",
    "copies lost",
    "acks lost",
    "answers lost",
    "publishes lost by a change of leader",
    "repeats known to the stream",
    "lateRepeats",
    "catchUpStarts connect",
    "catchUpStarts resume",
    "catchUpStarts gap",
    "catchUpStarts slow",
    "catchUpStarts reconnect",
    "catchUpStarts position",
    "errors 429",
    "errors 503",
    "replaced",
  ];
  expect(happened.filter((what) => !((counts[what] ?? 0) > 0))).toEqual([]);
});

test("a bug put into a copy of the sources is found", async () => {
  const copy = new SourceCopy();
  afterAll(() => copy.remove());
  const mutation = readMutations().find(({ name }) => name === "live copies are not checked for a gap");
  if (mutation === undefined) throw new Error("the table lacks it");
  copy.write(mutation.file, applyMutation(mutation, copy.read(mutation.file)));
  const found = await copy.simulate(90, ["--until-failure"]);
  expect(found.at(-1)?.failure?.rule).toBe("each once, in order, previous_id unbroken");
});

test("each bug of the table still fits the sources", () => {
  const mutations = readMutations();
  expect(mutations.length).toBeGreaterThan(50);
  for (const mutation of mutations) {
    expect(() => applyMutation(mutation, readFileSync(join(ROOT, mutation.file), "utf8"))).not.toThrow();
  }
});
