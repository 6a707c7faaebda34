import type { Readable } from "node:stream";
import type { Sink } from "./output.js";

/** What the command takes from its process; tests give their own. */
export interface ProgramContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Sink;
  readonly stderr: Sink;
}
