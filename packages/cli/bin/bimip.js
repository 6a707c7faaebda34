#!/usr/bin/env node
// Committed so that npm can link the command before anything is built.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const main = new URL("../dist/main.js", import.meta.url);
if (!existsSync(fileURLToPath(main))) {
  process.stderr.write("bimip: not built yet. Run `npm run build` in the checkout first.\n");
  process.exit(1);
}
await import(main.href);
