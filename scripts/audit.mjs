// Asks the registry for known vulnerabilities of what the lockfile pins. Fails on high and critical ones. Where the registry
// does not answer the question (mirrors often do not), says so and does not fail. `npm run audit`.
import { spawnSync } from "node:child_process";

const { stdout, stderr, error } = spawnSync("npm", ["audit", "--json", "--fetch-retries=0", "--fetch-timeout=30000"], {
  encoding: "utf8",
  maxBuffer: 1 << 28,
});
let report;
try {
  report = JSON.parse(stdout);
} catch {
  report = { message: error?.message ?? stderr };
}
const counts = report.metadata?.vulnerabilities;
if (counts === undefined) {
  const why = String(report.message ?? report.error?.summary ?? "no answer")
    .trim()
    .split("\n", 1)[0];
  console.log(`npm audit: the registry does not answer (${why}): nothing is known, good or bad`);
} else {
  console.log(`npm audit: ${JSON.stringify(counts)}`);
  for (const { name, severity, range } of Object.values(report.vulnerabilities ?? {}))
    if (["high", "critical"].includes(severity)) console.error(`${severity}: ${name} ${range}`);
  process.exitCode = counts.high + counts.critical > 0 ? 1 : 0;
}
