// Everything that CI checks, in the order in which it fails fastest. `npm run check`.
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";

const RESULTS = "test-results.json";
rmSync(RESULTS, { force: true });

/** @type {[name: string, command: string, args: string[]][]} */
const steps = [
  ["lockfile", "node", ["scripts/lockfile.mjs"]],
  ["licences", "node", ["scripts/licences.mjs"]],
  ["known vulnerabilities", "node", ["scripts/audit.mjs"]],
  ["schema", "npx", ["buf", "lint"]],
  ["generated code", "npx", ["buf", "generate"]],
  ["generated code is fresh", "git", ["diff", "--exit-code", "--stat", "--", "packages/protocol/src/gen"]],
  ["format", "npx", ["biome", "format", "."]],
  ["types", "npx", ["tsc", "-b"]],
  ["lint", "npx", ["oxlint", "--type-aware", "--deny-warnings"]],
  ["tests", "npm", ["test", "--", "--reporter=default", "--reporter=json", `--outputFile.json=${RESULTS}`]],
];

let failed = 0;
for (const [name, command, args] of steps) {
  const started = Date.now();
  process.stdout.write(`\n== ${name}: ${command} ${args.join(" ")}\n`);
  const { status } = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] });
  process.stdout.write(
    `== ${name}: ${status === 0 ? "ok" : "FAILED"} (${((Date.now() - started) / 1000).toFixed(1)} s)\n`,
  );
  if (status !== 0) failed++;
}

let passedTests = 0;
let failedTests = 0;
try {
  const results = JSON.parse(readFileSync(RESULTS, "utf8"));
  passedTests = results.numPassedTests;
  failedTests = results.numFailedTests;
} catch {
  process.stdout.write("the tests left no results\n");
  failed++;
}
process.stdout.write(`\n${passedTests} passed, ${failedTests} failed\n`);
process.exitCode = failed > 0 ? 1 : 0;
