// One user floods real processes that have the limits of an installation; `npm run user-flood` does it longer, and measures.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Stack, startStack } from "@bimip/devstack";
import { afterAll, beforeAll, expect, test } from "vitest";
import { median } from "../bench/percentiles.js";
import { defaultLimits } from "../kit/limits.js";
import type { FloodKind } from "../load/flooder.js";
import { UserFlood } from "../load/user-flood-run.js";

const CALM_MS = 3_000;
const FLOOD_MS = 4_000;
const MAX_RATIO = 2;
/** Other tests may run on the same processors: what they take is not the flood's. */
const SLACK_MS = 50;

let stack: Stack;
let dataDir: string;
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "bimip-user-flood-"));
  const env = { ...process.env, BIMIP_LOG_LEVEL: "error", ...defaultLimits() };
  stack = await startStack({ dataDir, env, port: 0 });
});
afterAll(async () => {
  await stack.stop();
  await rm(dataDir, { recursive: true, force: true });
});

test("a flood at ten times the limit ends at the flooder: 429 with a time, 4429, and the others hardly notice", async () => {
  const crowd = await UserFlood.start(stack, { pairs: 10, perSecond: 200, sessions: 4 });
  await crowd.calm(CALM_MS / 2);
  const calm = [await crowd.calm(CALM_MS)];
  const floods = [];
  const kinds: readonly FloodKind[] = ["small", "large", "garbage"];
  for (const kind of kinds) {
    floods.push({ kind, ...(await crowd.flood(kind, `flooder-${kind}@load`, FLOOD_MS)) });
    calm.push(await crowd.calm(CALM_MS));
  }
  const backMs = await crowd.comesBack("flooder-small@load");
  expect(await crowd.stop()).toBe(0);
  process.stdout.write(`${JSON.stringify({ calm, floods, backMs })}\n`);
  for (const { kind, flooder } of floods) {
    expect({ kind, ...flooder, isTold: flooder.withTime === flooder.tooFast }).toMatchObject({ isTold: true });
    expect(flooder.tooFast).toBeGreaterThan(50);
    expect(flooder.closed).toBeGreaterThan(0);
    expect(flooder.refusedConnects).toBeGreaterThan(0);
  }
  const baseline = median(calm.map(({ p99 }) => p99));
  expect(median(floods.map(({ others }) => others.p99))).toBeLessThan(MAX_RATIO * baseline + SLACK_MS);
});
