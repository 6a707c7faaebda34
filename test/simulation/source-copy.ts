import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve, sep } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Outcome } from "./run-seed.js";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SOURCES = ["package.json", "tsconfig.json", "tsconfig.base.json", "packages", "services", "test/simulation"];
const OMITTED: ReadonlySet<string> = new Set(["node_modules", "dist", ".types"]);
/** A run that is silent for so long turns in a circle without a task; real milliseconds. */
const SILENT_MS = 60_000;

/** A copy of the sources in a temporary folder, to put bugs into; the work tree is only read. */
export class SourceCopy {
  readonly #folder = mkdtempSync(join(tmpdir(), "bimip-mutations-"));

  constructor() {
    const omit = (path: string): boolean => !path.split(sep).some((part) => OMITTED.has(part));
    for (const name of SOURCES) {
      cpSync(join(ROOT, name), join(this.#folder, name), {
        recursive: true,
        filter: (path) => omit(path.slice(ROOT.length)),
      });
    }
    // Our own packages are links into the tree: they have to lead into the copy. What others made is used where it is.
    const modules = join(this.#folder, "node_modules");
    mkdirSync(join(modules, "@bimip"), { recursive: true });
    for (const name of readdirSync(join(ROOT, "node_modules"))) {
      if (name !== "@bimip") symlinkSync(join(ROOT, "node_modules", name), join(modules, name));
    }
    for (const parent of ["packages", "services"]) {
      for (const name of readdirSync(join(this.#folder, parent))) {
        symlinkSync(resolve(this.#folder, parent, name), join(modules, "@bimip", name));
      }
    }
  }

  read(file: string): string {
    return readFileSync(join(this.#folder, file), "utf8");
  }

  write(file: string, text: string): void {
    writeFileSync(join(this.#folder, file), text);
  }

  /** Runs the simulation on the copy as it is now. */
  simulate(seeds: number, more: readonly string[] = []): Promise<Outcome[]> {
    return simulate(this.#folder, ["--seeds", String(seeds), ...more]);
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/**
 * `npm run simulate` in a process of its own, since it puts itself in the place of the clock and the timers. A run that
 * hangs, or ends before its time, is an outcome that failed.
 */
export function simulate(folder: string, args: readonly string[]): Promise<Outcome[]> {
  const command = ["--conditions=bimip-src", "--import", "tsx", "test/simulation/main.ts", "--json", ...args];
  const child = spawn(process.execPath, command, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  const outcomes: Outcome[] = [];
  let complaint = "";
  let hangs = false;
  const hang = (): void => {
    hangs = true;
    child.kill("SIGKILL");
  };
  let watch = setTimeout(hang, SILENT_MS);
  createInterface({ input: child.stdout }).on("line", (line) => {
    clearTimeout(watch);
    watch = setTimeout(hang, SILENT_MS);
    outcomes.push(JSON.parse(line) as Outcome);
  });
  child.stderr.on("data", (data: Buffer) => {
    complaint += data.toString();
  });
  return new Promise((done, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(watch);
      const last = outcomes.at(-1);
      if (hangs) {
        const failure = { rule: "a run ends", text: `nothing came for ${SILENT_MS} ms` };
        outcomes.push({ seed: (last?.seed ?? 0) + 1, scenario: last?.scenario ?? "catchUp", failure });
      } else if (code !== 0 && code !== 1) return reject(new Error(`the simulation could not run: ${complaint}`));
      done(outcomes);
    });
  });
}
