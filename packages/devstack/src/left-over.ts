import { unlink, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { readIfThere } from "./files.js";
import { identifyProcess, type ProcessIdentity } from "./process-identity.js";

const POLL_MS = 20;
// nats-server closes its stores within this on a signal; a killed process goes at once.
const TERM_MS = 5_000;
const KILL_MS = 5_000;

/** Where the id of a process is written down, and how to tell that a process with that id is the one meant. */
export interface LeftOver {
  /** File that starts with the process id. */
  readonly pidFile: string;
  /** Whether the process that has this id now is what was started here. */
  readonly isOurs: (running: ProcessIdentity) => boolean;
}

/**
 * Ends a process that outlived the one that started it: SIGTERM, after five seconds SIGKILL. A process that took over the
 * id meanwhile is left alone. Removes the file.
 *
 * @returns the id of what was ended, undefined when nothing was left over.
 * @throws Error when it does not end.
 */
export async function endLeftOver({ pidFile, isOurs }: LeftOver): Promise<number | undefined> {
  const text = await readIfThere(pidFile);
  if (text === undefined) return undefined;
  const running = await identifyProcess(Number.parseInt(text, 10));
  const found = running !== undefined && isOurs(running);
  if (found) await endProcess(running);
  await unlink(pidFile).catch(() => {});
  return found ? running.pid : undefined;
}

async function endProcess(target: ProcessIdentity): Promise<void> {
  for (const [signal, patienceMs] of [
    ["SIGTERM", TERM_MS],
    ["SIGKILL", KILL_MS],
  ] as const) {
    try {
      process.kill(target.pid, signal);
    } catch {
      // It ended by itself meanwhile, which the look below sees.
    }
    for (const deadline = Date.now() + patienceMs; Date.now() < deadline; await sleep(POLL_MS)) {
      const running = await identifyProcess(target.pid);
      if (running?.startedAt !== target.startedAt) return;
    }
  }
  throw new Error(`process ${target.pid}, left over from an earlier start, does not end: ${target.commandLine}`);
}

/** Writes a process down for `endLeftOver` with `isRecorded`. */
export async function recordProcess(pidFile: string, pid: number): Promise<void> {
  const running = await identifyProcess(pid);
  if (running) await writeFile(pidFile, `${pid} ${running.startedAt}\n`);
}

/** Whether a process is the one that `recordProcess` wrote down in this text, and runs this script. */
export function isRecorded(running: ProcessIdentity, record: string, script: string): boolean {
  return record.trim() === `${running.pid} ${running.startedAt}`.trim() && hasArgument(running, script);
}

/** Whether `words` occur in the command line as whole arguments, in this order. */
export function hasArgument(running: ProcessIdentity, ...words: string[]): boolean {
  return `${running.commandLine} `.includes(` ${words.join(" ")} `);
}
