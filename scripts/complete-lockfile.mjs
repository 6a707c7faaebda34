// Adds to package-lock.json the optional packages of other platforms that npm left out. npm writes an incomplete
// lockfile when a registry mirror does not carry them, and then its own `npm ci` refuses it. The entries have no
// integrity hash; they are never fetched but on the platform they name. Run after an `npm install` that changed it.
import { readFileSync, writeFileSync } from "node:fs";

const FILE = "package-lock.json";
const lock = JSON.parse(readFileSync(FILE, "utf8"));
const OS = {
  android: "android",
  darwin: "darwin",
  freebsd: "freebsd",
  linux: "linux",
  netbsd: "netbsd",
  openbsd: "openbsd",
  win32: "win32",
  windows: "win32",
  sunos: "sunos",
  aix: "aix",
  openharmony: "openharmony",
};
const CPU = ["arm64", "x64", "arm", "ia32", "ppc64", "riscv64", "s390x", "loong64", "mips64el", "armv7", "aarch64"];
const CPU_NAME = { armv7: "arm", aarch64: "arm64" };

let added = 0;
for (const entry of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const path = `node_modules/${name}`;
    if (lock.packages[path] !== undefined) continue;
    const words = name.split(/[/-]/);
    const os = words.map((word) => OS[word]).find(Boolean);
    const cpu = words.find((word) => CPU.includes(word));
    if (os === undefined || !/^\d/.test(version)) {
      process.stderr.write(`left out: ${name}@${version}, its platform is not in its name\n`);
      continue;
    }
    lock.packages[path] = {
      version,
      ...(cpu === undefined ? {} : { cpu: [CPU_NAME[cpu] ?? cpu] }),
      ...(entry.dev ? { dev: true } : {}),
      ...(words.includes("musl") ? { libc: ["musl"] } : {}),
      optional: true,
      os: [os],
    };
    added++;
  }
}
const [root, ...rest] = Object.entries(lock.packages);
lock.packages = Object.fromEntries([root, ...rest.sort(([a], [b]) => (a < b ? -1 : 1))]);
writeFileSync(FILE, `${JSON.stringify(lock, null, 2)}\n`);
process.stdout.write(`${added} packages of other platforms added\n`);
