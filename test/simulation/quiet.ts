import type { Logger } from "@bimip/runtime";

const METRIC = { inc: () => undefined, dec: () => undefined, observe: () => undefined, set: () => undefined };

/** Those that show that a run came to what it is for. */
const COUNTED: ReadonlySet<string> = new Set(["lateRepeats", "catchUpStarts", "replaced", "errors", "gapsTold"]);

/** Metrics in the world's own counts: the real ones cost more than a whole simulated run. */
export function quietMetrics(count: (what: string) => undefined): never {
  const counted = (name: string): typeof METRIC => ({
    ...METRIC,
    inc: (labels?: object): undefined => count([name, ...Object.values(labels ?? {})].join(" ")),
  });
  const metrics = Object.fromEntries([...COUNTED].map((name) => [name, counted(name)]));
  return new Proxy({}, { get: (_target, name) => metrics[String(name)] ?? METRIC }) as never;
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
