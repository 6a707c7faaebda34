import type { Health } from "@bimip/runtime";
import type { Link } from "./connect.js";
import { answer } from "./inbox.js";
import { SUBJECTS } from "./names.js";

/** What a process says of itself when it is asked; JSON. */
export interface ProcessStatus {
  /** `gateway`, `router`, `awareness` or `storage`. */
  readonly service: string;
  /** Of a gateway its node; of the others the host. */
  readonly name: string;
  readonly pid: number;
  readonly ready: boolean;
  /** Why not, by part. */
  readonly unwell: Readonly<Record<string, string>>;
  /** Its clock, epoch milliseconds. */
  readonly clockMs: number;
}

/** Answers whoever asks how this process is. Ends with the connection. */
export function answerStatus(link: Link, who: { service: string; name: string }, health: Health): void {
  link.nc.subscribe(SUBJECTS.status, {
    callback: (error, message) => {
      if (error !== null) return;
      const { ok, parts } = health.ready;
      const unwell = Object.entries(parts).flatMap(([part, state]) => (state.ok ? [] : [[part, state.detail ?? ""]]));
      const status: ProcessStatus = {
        ...who,
        pid: process.pid,
        ready: ok,
        unwell: Object.fromEntries(unwell),
        clockMs: Date.now(),
      };
      answer(message, JSON.stringify(status));
    },
  });
}
