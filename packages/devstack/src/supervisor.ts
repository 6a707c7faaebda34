import { statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { createBackoff } from "./backoff.js";
import { type Child, describeExit } from "./child.js";
import { lastFatal, logTail } from "./log-tail.js";
import type { StackEvent } from "./stack-event.js";

// A process that cannot even start dies at once, and again: no use in waiting for the deadline.
const MOST_FAILED_STARTS = 3;

/** One run of a supervised process. */
export interface Run extends Child {
  /** Resolves when it does its work. A rejection means it never will. */
  readonly ready: Promise<void>;
}

/** What to keep running. */
export interface SupervisedProcess {
  readonly name: string;
  readonly logFile: string;
  readonly launch: () => Promise<Run>;
  readonly onEvent: (event: StackEvent) => void;
}

/** Keeps one process running until it is stopped. */
export interface Supervisor {
  readonly name: string;
  /** Of the present run, or of the last one while it waits to start again; 0 before the first. */
  readonly pid: number;
  readonly isReady: boolean;
  /**
   * Resolves when the process is ready, now or after a restart.
   *
   * @throws Error with its last fatal line, else the last lines that this run logged, when it dies three times before it is ready, or is late.
   */
  whenReady(deadlineMs: number): Promise<void>;
  /** Sends a signal to the present run; resolves when it has ended, or at once for a signal that does not end it. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** No further start from now on; the present run goes on. */
  retire(): void;
  /** SIGTERM, SIGKILL after the deadline, no further start. Resolves when it has ended. */
  stop(deadlineMs: number): Promise<void>;
}

/** Starts a process and starts it again whenever it dies. */
export function supervise({ name, logFile, launch, onEvent }: SupervisedProcess): Supervisor {
  const stopping = new AbortController();
  const backoff = createBackoff();
  let run: Run | undefined;
  const state = { isReady: false, isStopped: false };
  let failedStarts = 0;
  let failure = "";
  /** Bytes of the log that are of earlier runs. */
  let logStart = 0;
  let stopDeadlineMs = 0;
  let waiters: (() => void)[] = [];
  const changed = () => {
    for (const wake of waiters.splice(0)) wake();
  };

  /** From start to end of one process; how it ended. */
  const runOnce = async (): Promise<string> => {
    const startedMs = performance.now();
    logStart = statSync(logFile, { throwIfNoEntry: false })?.size ?? 0;
    run = await launch();
    const { pid, exited, ready } = run;
    // stop() came while it was being launched, and has seen only the run before.
    if (state.isStopped) await run.stop(stopDeadlineMs);
    onEvent({ type: "started", name, pid, logFile });
    const end = exited.then(describeExit);
    const outcome = await Promise.race([ready.then(() => "ready" as const, String), end]);
    if (outcome === "ready") {
      failedStarts = 0;
      state.isReady = true;
      onEvent({ type: "ready", name, pid, tookMs: Math.round(performance.now() - startedMs) });
      changed();
    } else {
      await run.kill("SIGKILL");
    }
    const how = await end;
    state.isReady = false;
    if (outcome !== "ready") failedStarts++;
    if (!stopping.signal.aborted) onEvent({ type: "exited", name, pid, how });
    return how;
  };

  const keepRunning = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const startedMs = performance.now();
      try {
        failure = `ended with ${await runOnce()}`;
      } catch (error) {
        failedStarts++;
        failure = `does not start: ${error instanceof Error ? error.message : String(error)}`;
      }
      changed();
      if (stopping.signal.aborted) return;
      const delayMs = backoff.next(performance.now() - startedMs);
      onEvent({ type: "restarting", name, delayMs });
      await sleep(delayMs, undefined, { signal: stopping.signal }).catch(() => {});
    }
  };
  const done = keepRunning();

  const retire = () => {
    stopping.abort();
    changed();
  };
  const unready = (why: string) => {
    const fatal = lastFatal(logFile, logStart);
    const said =
      fatal === undefined ? `The end of ${logFile}:\n${logTail(logFile, logStart)}` : `${fatal} (${logFile})`;
    return new Error(`${name} is not ready: ${why}. ${said}`);
  };

  return {
    name,
    get pid() {
      return run?.pid ?? 0;
    },
    get isReady() {
      return state.isReady;
    },
    async whenReady(deadlineMs) {
      const late = new AbortController();
      const timer = setTimeout(() => {
        late.abort();
        changed();
      }, deadlineMs);
      try {
        while (!state.isReady) {
          if (stopping.signal.aborted) throw new Error(`${name} was stopped`);
          if (failedStarts >= MOST_FAILED_STARTS) throw unready(failure);
          if (late.signal.aborted) throw unready(`no word from it in ${deadlineMs / 1_000} s`);
          await new Promise<void>((wake) => waiters.push(wake));
        }
      } finally {
        clearTimeout(timer);
      }
    },
    kill: async (signal) => run?.kill(signal),
    retire,
    async stop(deadlineMs) {
      const first = !state.isStopped;
      state.isStopped = true;
      stopDeadlineMs = deadlineMs;
      retire();
      await run?.stop(deadlineMs);
      await done;
      if (first) onEvent({ type: "stopped", name });
    },
  };
}
