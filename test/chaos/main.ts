// `npm run chaos`: random faults over a real cluster amid traffic, and a checker. Shows that nothing confirmed is lost,
// nothing comes twice and order holds under process, pause and route faults. Cannot show: power cuts, broken disks.
import { parseArgs } from "node:util";
import { table, violationLines, weakness } from "./report.js";
import { runSeed, type SeedResult } from "./run-seed.js";

const { values: args } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    seeds: { type: "string", default: "10" },
    faults: { type: "string", default: "20" },
    messages: { type: "string", default: "11000" },
    rate: { type: "string", default: "300" },
    keep: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

const HELP = `npm run chaos -- [options]
  --seed N      the first seed (1)
  --seeds N     how many, one after the other (10)
  --faults N    in each (20)
  --messages N  sent in each, at least (11000)
  --rate N      messages a second (300)
  --keep        keep the folders of runs without a violation as well

Ends with code 1 when a message or a receipt was lost, came twice, in another order or unexpectedly, and when a seed put
nothing to the test: no publish failed, or no leader changed.`;

const say = (line: string): void => void process.stderr.write(`${line}\n`);

async function main(): Promise<void> {
  if (args.help) return void process.stdout.write(`${HELP}\n`);
  const [first, seeds, faults, messages, perSecond] = [
    args.seed,
    args.seeds,
    args.faults,
    args.messages,
    args.rate,
  ].map((text) => {
    const number = Number(text);
    if (!Number.isSafeInteger(number) || number < 1) throw new Error(`${text} is not a number above 0\n${HELP}`);
    return number;
  }) as [number, number, number, number, number];
  const results: SeedResult[] = [];
  for (let seed = first; seed < first + seeds; seed++) {
    const result = await runSeed({ seed, faults, messages, perSecond, keep: args.keep, tell: say });
    results.push(result);
    for (const line of violationLines(result)) say(line);
    const weak = weakness(result);
    if (weak !== undefined) say(`seed ${seed} proves less than it should: ${weak}`);
    say(table(results));
  }
  process.stdout.write(`${table(results)}\n`);
  if (results.some((result) => result.violations.length > 0 || weakness(result) !== undefined)) process.exitCode = 1;
}

process.once("SIGINT", () => process.exit(130));
process.once("SIGTERM", () => process.exit(143));
await main();
// Nothing is open any more, and yet Node 20 may wait for ever in its own end, for requests of sockets that were reset.
process.exit();
