import type { Logger } from "@bimip/runtime";

const METRIC = { inc: () => undefined, dec: () => undefined, observe: () => undefined, set: () => undefined };

/** Metrics that nobody reads: the real ones cost more than a whole simulated run. */
export function quietMetrics(): never {
  return new Proxy({}, { get: () => METRIC }) as never;
}

/** A logger that writes to the world's own notes. */
export function quietLogger(note: (line: () => string) => void): Logger {
  const write = (first: unknown, text?: string): void =>
    note(() => {
      const cause = first instanceof Object && "err" in first ? first.err : first;
      return `${text ?? ""} ${cause instanceof Object && !(cause instanceof Error) ? JSON.stringify(cause) : String(cause)}`;
    });
  return { info: () => undefined, debug: () => undefined, warn: write, error: write } as unknown as Logger;
}
