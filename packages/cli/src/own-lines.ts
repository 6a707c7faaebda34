import type { BimipError, Outgoing, OutgoingState } from "@bimip/client";
import type { PendingLine } from "./chat-screen.js";

interface OwnLine {
  readonly line: PendingLine;
  readonly textOf: (state: OutgoingState, error?: BimipError) => string;
  state: OutgoingState;
}

/** Lines that may still get a better tick; more would fill the screen. */
const MAX_LIVE = 5;

/**
 * The lines of one's own messages whose tick may still change: until they are read, something else is shown below, or
 * there are too many; where lines cannot change, until they are stored.
 */
export class OwnLines {
  readonly #live: boolean;
  /** By message id, oldest first. */
  readonly #lines = new Map<string, OwnLine>();

  constructor(live: boolean) {
    this.#live = live;
  }

  add(id: string, line: PendingLine, textOf: OwnLine["textOf"]): void {
    this.#lines.set(id, { line, textOf, state: "queued" });
    if (this.#lines.size > MAX_LIVE) this.#finishStored(MAX_LIVE);
  }

  change({ id, state, error }: Pick<Outgoing, "id" | "state" | "error">): void {
    const own = this.#lines.get(id);
    if (own === undefined) return;
    own.state = state;
    const last = state === "read" || state === "played" || state === "failed" || (!this.#live && state === "sent");
    if (last) this.#finish(id, own, error);
    else own.line.update(own.textOf(state));
  }

  /** Something else is about to be shown, or nothing any more. */
  settle(): void {
    this.#finishStored(0);
  }

  /** Finishes the oldest that are stored until only `keep` are left. */
  #finishStored(keep: number): void {
    for (const [id, own] of this.#lines) {
      if (this.#lines.size <= keep) return;
      if (own.state !== "queued") this.#finish(id, own);
    }
  }

  #finish(id: string, { line, textOf, state }: OwnLine, error?: BimipError): void {
    this.#lines.delete(id);
    line.finish(textOf(state, error));
  }
}
