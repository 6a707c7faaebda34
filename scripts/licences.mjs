// Lists the licences of all packages in package-lock.json and fails on one that does not go with MIT. `npm run licences`.
import { readLockfile } from "./read-lockfile.mjs";

/** What may be shipped beside MIT code, unchanged and with its notice. */
const ALLOWED = ["MIT", "ISC", "0BSD", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "Unlicense", "BlueOak-1.0.0"];
/** Of tools that build and test, and of which nothing is in what we ship: their licence binds their own files. */
const ALLOWED_DEV = [...ALLOWED, "MPL-2.0", "CC0-1.0", "CC-BY-4.0", "Python-2.0"];
/** Binds its own files only, which we use as they are: npm delivers their source, and a container image does with it. */
const UNCHANGED = new Map([["web-push", "MPL-2.0"]]);

/** SPDX expressions as packages use them: names, AND, OR, one pair of parentheses around all. Anything else is not allowed. */
function isAllowed(expression, allowed) {
  const bare = expression.replace(/^\((.*)\)$/, "$1");
  return bare.split(" OR ").some((one) => one.split(" AND ").every((licence) => allowed.includes(licence.trim())));
}

/** npm leaves the licence out of packages that it has not seen: a part for another platform has that of its whole. */
const licenceOf = ({ license, listedBy }) => license ?? listedBy.find((whole) => whole.license !== undefined)?.license;

const byLicence = new Map();
const problems = [];
for (const entry of readLockfile()) {
  if (entry.link) continue;
  const licence = licenceOf(entry) ?? "none told";
  const row = `${entry.name}@${entry.version}`;
  const allowed = isAllowed(licence, entry.dev ? ALLOWED_DEV : ALLOWED) || UNCHANGED.get(entry.name) === licence;
  if (!allowed) problems.push(`${row}: ${licence}`);
  const rows = byLicence.get(licence) ?? { production: [], dev: [] };
  rows[entry.dev ? "dev" : "production"].push(row);
  byLicence.set(licence, rows);
}

for (const [licence, { production, dev }] of [...byLicence].sort(([a], [b]) => (a < b ? -1 : 1))) {
  console.log(`${licence}: ${production.length} in production, ${dev.length} to build and test`);
  if (production.length > 0) console.log(`  ${production.sort().join(" ")}`);
  if (process.argv.includes("--all") && dev.length > 0) console.log(`  (${dev.sort().join(" ")})`);
}
for (const problem of problems) console.error(`not compatible with MIT, or not known to be: ${problem}`);
console.log(problems.length === 0 ? "all of them go with MIT" : `${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
