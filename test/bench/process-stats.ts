import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

let ticksPerSecond = 0;

/** User and system CPU of a process so far, in microseconds (Linux; the clock ticks at 10 ms). */
export function cpuMicros(pid: number): number {
  ticksPerSecond ||= Number(execFileSync("getconf", ["CLK_TCK"]).toString());
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return ((Number(fields[11]) + Number(fields[12])) / ticksPerSecond) * 1_000_000;
}

/**
 * CPU that the present threads of a process used so far, in microseconds (Linux). Exact, where `cpuMicros` counts ticks: for
 * what lasts milliseconds. A thread that ends takes what it used along.
 */
export function threadMicros(pid: number): number {
  let nanos = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const [used] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ");
    nanos += Number(used);
  }
  return nanos / 1_000;
}

/** Resident memory of a process, in bytes. */
export function residentBytes(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1] ?? 0) * 1_024;
}

const SAMPLE_MS = 50;

/** Watches the resident memory of a process. */
export class MemoryWatch {
  readonly #pid: number;
  readonly #timer: NodeJS.Timeout;
  #startBytes = 0;
  #maxBytes = 0;

  constructor(pid: number) {
    this.#pid = pid;
    this.#timer = setInterval(() => this.#look(), SAMPLE_MS);
    this.restart();
  }

  /** From here on counts what is grown. */
  restart(): void {
    this.#startBytes = residentBytes(this.#pid);
    this.#maxBytes = this.#startBytes;
  }

  /** At the last restart, the most since, and now; bytes. */
  read(): { readonly start: number; readonly max: number; readonly now: number } {
    this.#look();
    return { start: this.#startBytes, max: this.#maxBytes, now: residentBytes(this.#pid) };
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    this.#maxBytes = Math.max(this.#maxBytes, residentBytes(this.#pid));
  }
}
