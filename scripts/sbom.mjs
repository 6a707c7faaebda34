// Writes the software bill of materials (CycloneDX) from package-lock.json; nothing is fetched. `npm run sbom -- [file] [--omit dev]`.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

const [first] = process.argv.slice(2);
const isFile = first !== undefined && !first.startsWith("--");
const file = isFile ? first : "sbom.cdx.json";
const more = process.argv.slice(isFile ? 3 : 2);

const args = ["sbom", "--sbom-format", "cyclonedx", "--sbom-type", "application", "--package-lock-only", ...more];
const { status, stdout, stderr, error } = spawnSync("npm", args, { encoding: "utf8", maxBuffer: 1 << 28 });
if (status !== 0) {
  console.error(`npm ${args.join(" ")} failed: ${error?.message ?? stderr}`);
  process.exit(1);
}
const bom = JSON.parse(stdout);
// npm takes the folder's name.
bom.metadata.component.name = JSON.parse(readFileSync("package.json", "utf8")).name;
writeFileSync(file, `${JSON.stringify(bom, null, 2)}\n`);
const hashed = bom.components.filter(({ hashes = [] }) => hashes.length > 0).length;
console.log(
  `${file}: ${bom.components.length} components, ${hashed} with a hash (ours and parts of tools for other platforms have none)`,
);
