import { type ChildProcess, execFile, spawn } from "node:child_process";
import { setPriority } from "node:os";
import { createInterface } from "node:readline";

// What a refused command leaves in an error message.
const KEPT_LINES = 8;
const KILL_AFTER_MS = 5_000;

/** A program to run to its end; it stays in this process's group. */
export interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Ends the program and what it started. */
  readonly signal: AbortSignal;
  /** Runs below everything else on the machine. Default false. */
  readonly background?: boolean;
  /** Called for each line of standard output and standard error. */
  readonly onLine?: (line: string) => void;
}

/**
 * Runs a program and returns its standard output.
 *
 * @throws Error with the last lines it wrote when it exits with anything but 0; the signal's reason when aborted, after
 * the program has ended.
 */
export async function runCommand(options: Command): Promise<string> {
  const { command, args, env, cwd, signal, onLine } = options;
  signal.throwIfAborted();
  const child = spawn(command, args, {
    env,
    ...(cwd && { cwd }),
    stdio: ["ignore", "pipe", "pipe"],
    windowsHide: true,
  });
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, by) => resolve(code === 0 ? "" : `${command} ended with ${by ?? `code ${code}`}`));
  });
  if (options.background && child.pid !== undefined) lowerPriority(child.pid);
  const output: string[] = [];
  const complaints: string[] = [];
  createInterface(child.stdout).on("line", (line) => {
    output.push(line);
    onLine?.(line);
  });
  createInterface(child.stderr).on("line", (line) => {
    complaints.push(line);
    if (complaints.length > KEPT_LINES) complaints.shift();
    onLine?.(line);
  });
  const abort = () => void endTree(child);
  signal.addEventListener("abort", abort, { once: true });
  const failure = await ended;
  signal.removeEventListener("abort", abort);
  signal.throwIfAborted();
  if (failure) throw new Error([failure, ...complaints].join("\n"));
  return output.join("\n");
}

function lowerPriority(pid: number): void {
  try {
    setPriority(pid, 10);
  } catch {
    // It has ended already, or the system does not allow it: neither matters to the result.
  }
}

/** Interrupts a program, so that it can remove its own temporary files, and ends what it started. */
async function endTree(child: ChildProcess): Promise<void> {
  const { pid } = child;
  if (pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const below = await descendants(pid);
  child.kill("SIGINT");
  for (const one of below) {
    try {
      process.kill(one, "SIGTERM");
    } catch {
      // It ended by itself meanwhile.
    }
  }
  setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS).unref();
}

/** Process ids of everything started by `root`, directly or not; empty where `ps` does not exist. */
function descendants(root: number): Promise<number[]> {
  return new Promise((resolve) => {
    execFile("ps", ["-A", "-o", "pid=,ppid="], (error, stdout) => {
      if (error) return resolve([]);
      const found = [root];
      const rows = stdout
        .trim()
        .split("\n")
        .map((row) => row.trim().split(/\s+/).map(Number));
      for (const parent of found) {
        for (const [pid, ppid] of rows) if (ppid === parent && pid !== undefined) found.push(pid);
      }
      resolve(found.slice(1));
    });
  });
}
