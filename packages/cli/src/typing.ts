import type { BimipClient } from "@bimip/client";
import { BimipError, type Signal, SignalStatus } from "@bimip/protocol";
import { printable } from "./output.js";

/** While somebody types it is told again after so long. */
const TELL_EVERY_MS = 3_000;
/** Who has not typed any more for so long does not type. */
const SHOWN_FOR_MS = 5_000;

export interface TypingOptions {
  readonly client: Pick<BimipClient, "typing">;
  readonly peer: string;
  /** Shows that the peer types; undefined: no longer. */
  readonly show: (text: string | undefined) => void;
}

/** That one types, told to the other; that the other types, shown. */
export class Typing {
  readonly #o: TypingOptions;
  #nextMs = 0;
  #refused = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: TypingOptions) {
    this.#o = options;
  }

  /** One has typed something. */
  typed(): void {
    const nowMs = performance.now();
    if (this.#refused || nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + TELL_EVERY_MS;
    try {
      this.#o.client.typing(this.#o.peer);
    } catch (error) {
      // A name that is none: that is said when something is sent there.
      if (!(error instanceof BimipError)) throw error;
      this.#refused = true;
    }
  }

  /** The line is sent: what is typed next is news again. */
  sent(): void {
    this.#nextMs = 0;
  }

  /** They do not want to know. */
  refuse(): void {
    this.#refused = true;
  }

  onSignal({ from, status }: Signal): void {
    if (from?.eid !== this.#o.peer) return;
    if (status !== SignalStatus.TYPING && status !== SignalStatus.RECORDING) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#o.show(undefined), SHOWN_FOR_MS);
    const what = status === SignalStatus.TYPING ? "typing" : "recording";
    this.#o.show(`${printable(this.#o.peer)} is ${what}…`);
  }

  /** A message came, or nothing is shown any more. */
  hide(): void {
    clearTimeout(this.#timer);
    this.#o.show(undefined);
  }
}
