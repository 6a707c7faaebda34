// 100 devices of real processes reconnect without pause for 10 s; `npm run flapping` does it longer, with more.
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestStack, type TestStack } from "../kit/stack.js";
import { runFlapping } from "../load/flapping-run.js";

const GRACE_MS = 300;
const FLAP_MS = 10_000;

let target: TestStack;
beforeAll(async () => {
  target = await startTestStack({ gateways: 2, awareness: 2, env: { BIMIP_OFFLINE_GRACE_MS: String(GRACE_MS) } });
});
afterAll(() => target.stop());

test("after ten seconds of reconnects all contacts see who is there and who is not", async () => {
  const report = await runFlapping(target, {
    devices: 100,
    observers: 3,
    seed: 1,
    longAwayMs: 2 * GRACE_MS,
    settleWithinMs: 20_000,
    meanwhile: () => delay(FLAP_MS),
  });
  process.stdout.write(`${JSON.stringify(report)}\n`);
  // Else nothing was put to the test.
  expect(report.connects).toBeGreaterThan(1_000);
  expect(report.changes).toBeGreaterThan(100);
  expect(report.online).toBeGreaterThan(0);
  expect(report.online).toBeLessThan(report.users);
});
