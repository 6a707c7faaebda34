// `npm run simulate:mutations`: does the simulation find bugs? Puts each of mutations.txt into a copy of the sources.
import { parseArgs } from "node:util";
import { applyMutation, type Mutation, readMutations } from "./mutations.js";
import { SourceCopy } from "./source-copy.js";

const HELP = `npm run simulate:mutations -- [options]

Puts each bug of test/simulation/mutations.txt into a temporary copy of the sources, one at a time, and runs the simulation
there until a rule is broken. Prints which rule, and after how many seeds. Exit code 1 when one is missed
that should not be, or no longer fits the sources.

  --seeds N      for each bug, at most (default 1800)
  --only TEXT    those whose name or file contains it
  --help`;

/** So many seeds must be clean without a bug: else nothing is proven. */
const SOUND_SEEDS = 90;
/** Those that are said to be beyond the simulation are only looked at again. */
const UNSEEN_SHARE = 0.1;

const { values: args } = parseArgs({
  options: { seeds: { type: "string", default: "1800" }, only: { type: "string" }, help: { type: "boolean" } },
});

async function main(): Promise<void> {
  if (args.help) return print(HELP);
  const { only } = args;
  const mutations = readMutations().filter(({ name, file }) => only === undefined || `${file} ${name}`.includes(only));
  const copy = new SourceCopy();
  try {
    const stale = mutations.filter((mutation) => !fits(mutation, copy));
    const sound = (await copy.simulate(SOUND_SEEDS)).find(({ failure }) => failure !== undefined);
    if (sound !== undefined) throw new Error(`seed ${sound.seed} fails without a bug: ${sound.failure?.text}`);
    let missed = stale.length;
    let file = "";
    for (const mutation of mutations.filter((each) => !stale.includes(each))) {
      if (mutation.file !== file) print(`\n${mutation.file}`);
      file = mutation.file;
      const found = await tryMutation(copy, mutation);
      if (!found && mutation.unseen === undefined) missed++;
    }
    print(`\n${mutations.length} bugs, ${missed} missed or out of date that should not be`);
    if (missed > 0) process.exitCode = 1;
  } finally {
    copy.remove();
  }
}

/** Says at once which cannot be tried, since the sources have changed. */
function fits(mutation: Mutation, copy: SourceCopy): boolean {
  try {
    applyMutation(mutation, copy.read(mutation.file));
    return true;
  } catch (error) {
    print(`ERROR  ${error instanceof Error ? error.message : String(error)}`);
    return false;
  }
}

async function tryMutation(copy: SourceCopy, mutation: Mutation): Promise<boolean> {
  const source = copy.read(mutation.file);
  copy.write(mutation.file, applyMutation(mutation, source));
  const seeds = Math.ceil(Number(args.seeds) * (mutation.unseen === undefined ? 1 : UNSEEN_SHARE));
  const outcomes = await copy.simulate(seeds, ["--until-failure"]);
  copy.write(mutation.file, source);
  const rule = outcomes.at(-1)?.failure?.rule;
  const tried = `${outcomes.length} ${outcomes.length === 1 ? "seed" : "seeds"}`;
  if (rule !== undefined) print(`  caught  ${mutation.name}: ${rule} (${tried})`);
  else print(`  MISSED  ${mutation.name} (${tried})${mutation.unseen === undefined ? "" : `: ${mutation.unseen}`}`);
  return rule !== undefined;
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
