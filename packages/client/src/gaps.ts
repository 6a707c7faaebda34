import { type Signal, SignalType } from "@bimip/protocol";
import type { Gap } from "./client-options.js";

/** What RESUME's answers say is missing. The server repeats it until something behind it is acknowledged. */
export class Gaps {
  readonly #tell: (gap: Gap) => void;
  /** The last that was told. */
  #told: Gap | undefined;

  constructor(tell: (gap: Gap) => void) {
    this.#tell = tell;
  }

  /** Tells of a gap that is a new one. */
  take({ type, details, firstId, epoch }: Signal): void {
    if (type !== SignalType.RESPONSE || details === "") return;
    const gap = { details, firstId: Number(firstId), epoch: Number(epoch) };
    if (gap.details === this.#told?.details && gap.epoch === this.#told.epoch) return;
    this.#told = gap;
    this.#tell(gap);
  }
}
