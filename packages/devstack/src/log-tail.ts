import { closeSync, fstatSync, openSync, readSync } from "node:fs";

const TAIL_BYTES = 8_192;

/** The last lines of a log file, without a final line feed; empty when there is none. */
export function logTail(path: string, lines = 20): string {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return "";
  }
  try {
    const { size } = fstatSync(file);
    const length = Math.min(size, TAIL_BYTES);
    const tail = Buffer.alloc(length);
    readSync(file, tail, 0, length, size - length);
    return tail.toString("utf8").trimEnd().split("\n").slice(-lines).join("\n");
  } finally {
    closeSync(file);
  }
}
