// Checks package-lock.json: whatever runs in production, and whatever `npm ci` may install on the platforms we support (linux with
// glibc, x64 and arm64), is pinned by a hash and comes from the registry. `npm run lockfile`.
import { readLockfile } from "./read-lockfile.mjs";

const problems = [];
const foreign = [];
for (const { name, version, integrity, resolved, supported, dev, link } of readLockfile()) {
  if (link) continue;
  if (resolved !== undefined && !resolved.startsWith("https://registry.npmjs.org/"))
    problems.push(`${name}@${version}: comes from ${resolved}, not from the registry`);
  // A dependency on git, a folder or an address has no plain version here.
  if (!/^\d+\.\d+\.\d+/.test(version ?? "")) problems.push(`${name}: ${version} is no version of the registry`);
  if (integrity !== undefined) {
    if (!integrity.startsWith("sha512-")) problems.push(`${name}@${version}: its hash is not SHA-512`);
  } else if (supported || !dev) problems.push(`${name}@${version}: has no hash`);
  else foreign.push(`${name}@${version}`);
}

if (foreign.length > 0) {
  console.log(
    `${foreign.length} packages have no hash: build tools' parts for other platforms, which npm leaves out of its lockfile and
scripts/complete-lockfile.mjs puts back. They are never installed on linux x64 or arm64 with glibc:
${foreign.join(" ")}`,
  );
}
for (const problem of problems) console.error(`package-lock.json: ${problem}`);
console.log(problems.length === 0 ? "every other package is pinned by its SHA-512" : `${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
