// A short, seeded run of `npm run chaos`: three nats-servers, nine services, random faults amid traffic, the checker.
import { expect, test } from "vitest";
import { violationLines } from "../chaos/report.js";
import { runSeed } from "../chaos/run-seed.js";

const SEED = 3;

test(`seed ${SEED}, five faults: nothing lost, twice, reordered, unexpected or unanswered`, {
  timeout: 400_000,
}, async () => {
  const told: string[] = [];
  const result = await runSeed({
    seed: SEED,
    faults: 5,
    messages: 2_000,
    perSecond: 150,
    tell: (line) => void told.push(line),
  });
  expect(violationLines(result), told.join("\n")).toEqual([]);
  expect(result.acknowledged).toBe(result.attempted);
  expect(result.acknowledged).toBeGreaterThanOrEqual(2_000);
  // Else the run has put nothing to the test.
  expect(result.leaderChanges).toBeGreaterThan(0);
  expect(result.failedPublishes).toBeGreaterThan(0);
});
