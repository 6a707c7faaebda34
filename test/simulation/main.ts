// `npm run simulate`: thousands of simulated installations, or one of them again with everything that happened in it.
import { parseArgs } from "node:util";
import { real } from "./platform.js";
import { type Outcome, runSeed, sumCounts } from "./run-seed.js";
import { SCENARIOS, type ScenarioName } from "./scenarios.js";

const HELP = `npm run simulate -- [options]

Runs the real gateway, storage and SDK code in one process, on a virtual clock, over a simulated NATS and simulated
sockets, with faults. All chance comes from the seed: one seed has one history.

  --seeds N      how many seeds (default 2000), from --seed on, or from 1
  --seed K       without --seeds: this seed again, with the log of what happened in it
  --scenario S   all seeds in this one, instead of one scenario after the other:
                 ${Object.keys(SCENARIOS).join(", ")}
  --until-failure  stop at the first seed that breaks a rule
  --log          print the log of every seed
  --json         print a line of JSON for each seed, and nothing else
  --help`;

const { values: args } = parseArgs({
  options: {
    seeds: { type: "string" },
    seed: { type: "string" },
    scenario: { type: "string" },
    "until-failure": { type: "boolean", default: false },
    log: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

const DEFAULT_SEEDS = 2_000;

async function main(): Promise<void> {
  if (args.help) return print(HELP);
  const first = wholeNumber("seed", args.seed ?? "1");
  const isReplay = args.seed !== undefined && args.seeds === undefined;
  const count = isReplay ? 1 : wholeNumber("seeds", args.seeds ?? String(DEFAULT_SEEDS));
  const scenario = scenarioNamed(args.scenario);
  const startedMs = real.now();
  const outcomes: Outcome[] = [];
  for (let seed = first; seed < first + count; seed++) {
    const log: string[] | undefined = args.log || (isReplay && !args.json) ? [] : undefined;
    const outcome = await runSeed(seed, scenario, log);
    outcomes.push(outcome);
    if (args.json) print(JSON.stringify(outcome));
    if (log !== undefined) print(log.join("\n"));
    if (outcome.failure === undefined) continue;
    process.exitCode = 1;
    if (!args.json) tellFailure(outcome, isReplay);
    if (args["until-failure"]) break;
  }
  if (!args.json) tellSum(outcomes, (real.now() - startedMs) / 1_000);
}

function tellFailure({ seed, scenario, failure }: Outcome, isReplay: boolean): void {
  print(`seed ${seed} (${scenario}) FAILED: ${failure?.text}`);
  const chosen = args.scenario === undefined ? "" : ` --scenario ${scenario}`;
  if (!isReplay) print(`  again, with its log: npm run simulate -- --seed ${seed}${chosen}`);
}

function tellSum(outcomes: readonly Outcome[], seconds: number): void {
  const failed = outcomes.filter(({ failure }) => failure !== undefined).length;
  const counts = Object.entries(sumCounts(outcomes)).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [what, times] of counts) print(`${String(times).padStart(9)} ${what}`);
  const rate = Math.round(outcomes.length / seconds);
  print(`${outcomes.length} seeds, ${failed} failed, in ${seconds.toFixed(1)} s (${rate} seeds/s)`);
}

function wholeNumber(name: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`--${name}: ${text} is not a whole number`);
  return Number(text);
}

function scenarioNamed(name: string | undefined): ScenarioName | undefined {
  if (name === undefined || name in SCENARIOS) return name as ScenarioName | undefined;
  throw new Error(`--scenario: there is no ${name}; there are ${Object.keys(SCENARIOS).join(", ")}`);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}
