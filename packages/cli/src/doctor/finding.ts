/** How bad a finding is. */
export type Level = "ok" | "warn" | "fail";

/** What one check found. */
export interface Finding {
  readonly level: Level;
  /** What was looked at: `nats-1`, `LOG_0`, `gateway edge-1`. */
  readonly about: string;
  readonly found: string;
  /** What to do about it. */
  readonly hint?: string;
}

export const ok = (about: string, found: string): Finding => ({ level: "ok", about, found });
export const warn = (about: string, found: string, hint: string): Finding => ({ level: "warn", about, found, hint });
export const fail = (about: string, found: string, hint: string): Finding => ({ level: "fail", about, found, hint });

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
