import { SignalStatus, type Stanza } from "@bimip/protocol";

/** Index of a stanza in the user's own log; 0 for what is not stored there. */
export function logIndexOf(stanza: Stanza): bigint {
  if (stanza.kind === "message" || stanza.kind === "pushNotification") return stanza.value.monotonicId;
  if (stanza.kind === "event") return stanza.value.logId;
  if (stanza.kind !== "signal") return 0n;
  const { status, logId } = stanza.value;
  return status === SignalStatus.SENT || status === SignalStatus.RESUME ? 0n : logId;
}

/**
 * How far this device has read its log. It never runs ahead of what was delivered: RESUME behind the position must
 * bring everything the application has not seen.
 */
export class LogPosition {
  #index = 0n;
  #epoch = 0n;

  get index(): bigint {
    return this.#index;
  }

  /** A stanza of the log came: true if it is new, false if it was seen before. Entries come in order. */
  accept(index: bigint): boolean {
    if (index === 0n) return true;
    if (index <= this.#index) return false;
    this.#index = index;
    return true;
  }

  /**
   * SENT told where the device's own copy lies. SENT may overtake messages with lower indexes, so it moves the
   * position only where nothing can lie between; staying behind is safe, as a device is not replayed its own.
   */
  ownCopy(logIndex: bigint): void {
    if (logIndex === this.#index + 1n) this.#index = logIndex;
  }

  get epoch(): bigint {
    return this.#epoch;
  }

  /** Of an earlier process. */
  restore(index: bigint, epoch: bigint): void {
    this.#index = index;
    this.#epoch = epoch;
  }

  /**
   * The replay is complete up to `head`. false: the answer is of another log than the one our position is of, whose
   * indexes began anew; everything in it is new to us.
   */
  replayed(head: bigint, epoch: bigint): boolean {
    const same = this.#epoch === 0n || epoch === this.#epoch;
    this.#epoch = epoch;
    if (same && head > this.#index) this.#index = head;
    if (!same) this.#index = 0n;
    return same;
  }

  /** The log is not the one we knew: everything in it is new. */
  reset(): void {
    this.restore(0n, 0n);
  }
}
