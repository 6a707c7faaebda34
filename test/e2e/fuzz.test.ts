// A few thousand mutated frames from many sessions, with and without limits, conversations that break off, strangers and slow
// handshakes, against real processes. `npm run fuzz` sends a million and judges memory and latencies as well, for which this is
// too short. FUZZ_SEED repeats one.
import { expect, test } from "vitest";
import { runFuzz } from "../fuzz/fuzz-run.js";

const seed = Number(process.env["FUZZ_SEED"] ?? 1);
const FRAMES = 4_000;

test.each([
  ["every frame is looked at", false],
  ["with limits of rate and abuse", true],
])(
  "%s: no process ends, no handler fails, whatever gets through is well formed, neighbours get theirs",
  async (_what, limits) => {
    const report = await runFuzz({
      seed,
      frames: FRAMES,
      sessions: 12,
      framesPerSecond: 2_000,
      limits,
      cutEvery: 60,
      slowHandshakes: 5,
      baselineMs: 200,
      settleMs: 200,
      memory: false,
      env: limits ? { BIMIP_ABUSE_REFUSALS: "60" } : {},
    });
    const { attack } = report;
    process.stdout.write(`${JSON.stringify({ seed, limits, ...attack, came: report.came, lagMs: report.maxLagMs })}\n`);
    expect(report.problems).toEqual([]);
    expect(report.crashes).toEqual([]);
    expect(report.badLines).toEqual([]);
    expect(report.lost).toBe(0);
    expect(report.neighbours.during.count).toBeGreaterThan(50);
    // Else nothing was put to the test.
    expect(attack.frames).toBeGreaterThanOrEqual(FRAMES);
    expect(attack.errors["400"]).toBeGreaterThan(FRAMES / 20);
    expect(report.came["message"]).toBeGreaterThan(10);
    expect(attack.cuts["a stranger's first frame"]).toBeGreaterThan(10);
    if (limits) expect(attack.ends["close 4429"]).toBeGreaterThan(0);
    else expect(attack.errors["429"] ?? 0).toBe(0);
  },
);
