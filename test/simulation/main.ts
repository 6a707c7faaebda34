// `npm run simulate`: thousands of simulated installations, or one of them again with everything that happened in it.
import { parseArgs } from "node:util";
import { real } from "./platform.js";
import { SCENARIOS, type ScenarioName, scenarioOf } from "./scenarios.js";
import { type Report, Simulation } from "./simulation.js";

const HELP = `npm run simulate -- [options]
  --seed N       the one run of this seed, or the first of --count
  --count N      how many seeds (1 with --seed, else 2000)
  --scenario S   only this one: ${Object.keys(SCENARIOS).join(", ")}
  --log          print what happened
  --help`;

const { values: args } = parseArgs({
  options: {
    seed: { type: "string" },
    count: { type: "string" },
    scenario: { type: "string" },
    log: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

async function main(): Promise<void> {
  if (args.help) return print(HELP);
  const first = Number(args.seed ?? 1);
  const count = Number(args.count ?? (args.seed === undefined ? 2_000 : 1));
  const startedMs = real.now();
  const reports: Report[] = [];
  let failures = 0;
  for (let seed = first; seed < first + count; seed++) {
    const name = (args.scenario ?? scenarioOf(seed)) as ScenarioName;
    const scenario = SCENARIOS[name];
    if (scenario === undefined) throw new Error(`--scenario: there is no ${name}\n${HELP}`);
    const log = args.log ? [] : undefined;
    try {
      reports.push(await new Simulation(seed, scenario, log).run(seed));
    } catch (error) {
      failures++;
      const chosen = args.scenario === undefined ? "" : ` --scenario ${name}`;
      print(
        `seed ${seed} (${name}) FAILED: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      );
      print(`  again, with what happened: npm run simulate -- --seed ${seed}${chosen} --log`);
    }
    if (log !== undefined && seed === first + count - 1) print(log.join("\n"));
  }
  const sum = (of: (report: Report) => number): number => reports.reduce((total, report) => total + of(report), 0);
  print(
    `${count} runs, ${failures} failed; ${sum((r) => r.acknowledged)} messages acknowledged, ` +
      `${sum((r) => r.handed)} entries handed over, ` +
      `${sum((r) => Object.values(r.faults).reduce((a, b) => a + b, 0))} faults, ` +
      `${Math.round(sum((r) => r.virtualMs) / 1_000)} virtual seconds, ${sum((r) => r.tasks)} tasks ` +
      `in ${((real.now() - startedMs) / 1_000).toFixed(1)} s`,
  );
  process.exitCode = failures > 0 ? 1 : 0;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

await main();
