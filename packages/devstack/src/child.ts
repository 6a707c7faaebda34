import { spawn } from "node:child_process";
import { closeSync, openSync, renameSync, statSync } from "node:fs";

// A log that grew past this is set aside at the next start, as <name>.old.
const MAX_LOG_BYTES = 16 * 1024 * 1024;

// After these, a process that is asked about is expected to be gone.
const ENDING: readonly NodeJS.Signals[] = ["SIGKILL", "SIGTERM", "SIGINT", "SIGQUIT"];

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why it never ran, when it did not. */
  readonly error?: Error;
}

/** A process that was started, running or ended. */
export interface Child {
  readonly pid: number;
  /** Resolves when it has ended; never rejects. */
  readonly exited: Promise<Exit>;
  /** Sends a signal. Resolves when the process has ended, or at once for a signal that does not end it. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** SIGTERM, and SIGKILL after the deadline. Resolves when it has ended. */
  stop(deadlineMs: number): Promise<void>;
}

/** What to start. Standard output and standard error are appended to the log file. */
export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly logFile: string;
  /** Opens a channel for messages; each one received is handed over. */
  readonly onMessage?: (message: unknown) => void;
}

/** Starts a process in this process's group. A command that does not exist is an `exited` with its error. */
export function startChild(options: ChildOptions): Child {
  const { command, args, env, logFile, onMessage } = options;
  setAsideIfLarge(logFile);
  const log = openSync(logFile, "a", 0o600);
  const channel = onMessage ? (["ipc"] as const) : [];
  const child = spawn(command, args, { env, stdio: ["ignore", log, log, ...channel], windowsHide: true });
  closeSync(log);
  if (onMessage) child.on("message", onMessage);
  let running = true;
  const exited = new Promise<Exit>((resolve) => {
    child.once("error", (error) => resolve({ code: null, signal: null, error }));
    child.once("exit", (code, signal) => resolve({ code, signal }));
  }).then((exit) => {
    running = false;
    return exit;
  });
  const kill = async (signal: NodeJS.Signals): Promise<void> => {
    if (!running) return;
    child.kill(signal);
    if (ENDING.includes(signal)) await exited;
  };
  return {
    pid: child.pid ?? 0,
    exited,
    kill,
    async stop(deadlineMs) {
      const late = setTimeout(() => child.kill("SIGKILL"), deadlineMs);
      await kill("SIGTERM");
      clearTimeout(late);
    },
  };
}

/** `code 1`, `SIGKILL` or the reason it never ran. */
export function describeExit({ code, signal, error }: Exit): string {
  return error?.message ?? signal ?? `code ${code}`;
}

function setAsideIfLarge(path: string): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size > MAX_LOG_BYTES) renameSync(path, `${path}.old`);
}
