import { closeSync, fstatSync, openSync, readSync } from "node:fs";

const TAIL_BYTES = 8_192;
const TAIL_LINES = 20;
// A fatal line holds the error with its stack and causes.
const FATAL_BYTES = 65_536;
const FATAL_LINES = 2;

/**
 * The last lines of a log file, without a final line feed; empty when there is none.
 *
 * @param from bytes to leave out: what earlier runs wrote. Beyond the end the file is a new one: none are.
 */
export function logTail(path: string, from = 0): string {
  return read(path, from, TAIL_BYTES).trimEnd().split("\n").slice(-TAIL_LINES).join("\n");
}

/** What a service said of its end: the text, two lines at most, of its last fatal line; undefined when there is none. */
export function lastFatal(path: string, from = 0): string | undefined {
  const lines = read(path, from, FATAL_BYTES).split("\n");
  const message = lines.map(fatalMessage).findLast((one) => one !== undefined);
  return message?.split("\n").slice(0, FATAL_LINES).join("\n");
}

/** Of a line as the services' log has them. */
function fatalMessage(line: string): string | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const entry: unknown = JSON.parse(line);
    if (typeof entry !== "object" || entry === null || !("level" in entry) || !("msg" in entry)) return undefined;
    return entry.level === "fatal" && typeof entry.msg === "string" ? entry.msg : undefined;
  } catch {
    return undefined;
  }
}

function read(path: string, from: number, mostBytes: number): string {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return "";
  }
  try {
    const { size } = fstatSync(file);
    const length = Math.min(size < from ? size : size - from, mostBytes);
    const tail = Buffer.alloc(length);
    readSync(file, tail, 0, length, size - length);
    return tail.toString("utf8");
  } finally {
    closeSync(file);
  }
}
