// Presence by chance: users whose devices come, go, say things, become contacts, hide and block each other, many at a time,
// over two gateways and two replicas of awareness; after each round every device must be shown what a simple model says, and
// never anything of somebody whom its user may not see. PRESENCE_SEED=<number> takes another course. Cannot show: faults (test/e2e).
import { afterAll, beforeAll, expect, test } from "vitest";
import { createRandom } from "../chaos/random.js";
import { startSystem, type System } from "../kit/system.js";
import { PresenceRun } from "../presence/run.js";

const GRACE_MS = 250;
const GATEWAYS = 2;
const USERS = 6;
const ROUNDS = 25;
const RUNS = 2;
const TIMEOUT_MS = 240_000;
/** The same in every run of the suite, so that a red one is the change's doing. */
const USUAL_SEED = 225_326;
const SEED = Number(process.env["PRESENCE_SEED"] ?? USUAL_SEED);

let system: System;
beforeAll(async () => {
  system = await startSystem({ gateways: GATEWAYS, awareness: 2, env: { BIMIP_OFFLINE_GRACE_MS: String(GRACE_MS) } });
});
afterAll(() => system.stop());

test(`random steps, seed ${SEED}`, { timeout: TIMEOUT_MS }, async () => {
  // Independent groups of users at once: waiting for one costs nothing to the other.
  const runs = await Promise.all(
    Array.from({ length: RUNS }, async (_, at) => {
      const run = new PresenceRun(
        {
          async open(eid, name, gateway) {
            const device = await system.device(eid, name, { gateway });
            await device.pictured();
            return device;
          },
          random: createRandom(SEED * RUNS + at),
          gateways: GATEWAYS,
          graceMs: GRACE_MS,
          users: USERS,
        },
        `run-${at}`,
      );
      await run.begin();
      for (let round = 0; round < ROUNDS; round++) await run.round();
      return run;
    }),
  );
  const sum = (pick: (run: PresenceRun) => number): number => runs.reduce((total, run) => total + pick(run), 0);
  const [steps, compared, visible] = [sum((run) => run.steps), sum((run) => run.compared), sum((run) => run.visible)];
  process.stdout.write(`seed ${SEED}: ${steps} steps, ${compared} comparisons, ${visible} of somebody visible\n`);
  expect(steps).toBeGreaterThan(1_000);
  expect(visible).toBeGreaterThan(compared / 50);
});
