import { SCENARIOS, type ScenarioName, scenarioOf } from "./scenarios.js";
import { type Report, Simulation, Violation } from "./simulation.js";

/** What became of one seed; one line of `npm run simulate -- --json`. */
export interface Outcome {
  readonly seed: number;
  readonly scenario: ScenarioName;
  /** Absent: it failed. */
  readonly report?: Report;
  /** Absent: all is well. */
  readonly failure?: { readonly rule: string; readonly text: string };
}

/** The rule of whatever else is thrown. */
const NOTHING_THROWS = "nothing throws";

/** Runs one seed in its scenario, or in the one asked for. Never rejects. */
export async function runSeed(seed: number, asked?: ScenarioName, log?: string[]): Promise<Outcome> {
  const scenario = asked ?? scenarioOf(seed);
  try {
    return { seed, scenario, report: await new Simulation(seed, SCENARIOS[scenario], log).run(seed) };
  } catch (error) {
    const rule = error instanceof Violation ? error.rule : NOTHING_THROWS;
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { seed, scenario, failure: { rule, text } };
  }
}

/** What happened in all of the runs together. */
export function sumCounts(outcomes: readonly Outcome[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const { report } of outcomes) {
    for (const [what, times] of Object.entries(report?.counts ?? {})) sums[what] = (sums[what] ?? 0) + times;
  }
  return sums;
}
