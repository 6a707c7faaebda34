import { closeSync, openSync, readFileSync } from "node:fs";

/** For NATS, logs, files, and what the runtime needs for itself. */
const RESERVED = 128;
const EXHAUSTED: readonly unknown[] = ["EMFILE", "ENFILE"];

/** Connections for which so many file descriptors do. @param perConnection descriptors that one takes */
export function maxSockets(limit: number, perConnection: number): number {
  return Math.floor((limit - RESERVED) / perConnection);
}

/**
 * Whether the process has file descriptors left for a connection. uWebSockets.js does not survive their end: it tries to accept
 * again and again, with all of a processor, and nobody gets in. Counting does not do: a WebSocket is closed once both have said
 * goodbye, but keeps its descriptor for 16 s where the peer does not hang up. A new descriptor has the lowest number that is free.
 *
 * @param limit as `openFiles` gives it
 */
export function hasFiles(limit: number): boolean {
  if (limit === Number.POSITIVE_INFINITY) return true;
  try {
    const lowest = openSync("/dev/null", "r");
    closeSync(lowest);
    return lowest < limit - RESERVED;
  } catch (error) {
    return !(error instanceof Error && "code" in error && EXHAUSTED.includes(error.code));
  }
}

/** File descriptors that the process may have. Infinity where the system does not tell. */
export function openFiles(): number {
  try {
    const limit = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return limit === undefined || limit === "unlimited" ? Number.POSITIVE_INFINITY : Number(limit);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
