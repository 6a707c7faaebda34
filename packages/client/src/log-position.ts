import { SignalStatus, type Stanza } from "@bimip/protocol";

/** A stanza that may come from the log. */
export type Entry = Extract<Stanza, { kind: "message" | "pushNotification" | "signal" | "event" }>;

/** Own copies that are remembered; one that was forgotten costs a RESUME when an entry names it. */
const OWN_COPIES = 10_000;

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
  /** Where copies of what this device sent lie, as SENT told; above the position. */
  readonly #ownCopies = new Set<bigint>();

  get index(): bigint {
    return this.#index;
  }

  /** Which log the index is of, as RESUME told; 0 = not known. */
  get epoch(): bigint {
    return this.#epoch;
  }

  /** An entry of the log came: true if it is new, false if it was seen before. Entries come in order. */
  accept(index: bigint): boolean {
    if (index <= this.#index) return false;
    this.#moveTo(index);
    return true;
  }

  /** Whether nothing is missing before an entry that says that `previous` is what this device was told last. */
  follows(previous: bigint): boolean {
    return previous <= this.#index || this.#ownCopies.has(previous);
  }

  /** SENT told where the device's own copy lies. */
  ownCopy(logIndex: bigint): void {
    if (logIndex <= this.#index) return;
    this.#ownCopies.add(logIndex);
    if (this.#ownCopies.size <= OWN_COPIES) return;
    for (const oldest of this.#ownCopies) {
      this.#ownCopies.delete(oldest);
      return;
    }
  }

  /** What follows `index` is to come again, or for the first time. */
  goTo(index: bigint, epoch = this.#epoch): void {
    this.#index = index;
    this.#epoch = epoch;
  }

  /** RESUME's answer speaks of the log that the position is of, as far as is known. */
  isOf(epoch: bigint): boolean {
    return this.#epoch === 0n || epoch === this.#epoch;
  }

  /** Everything up to `head` was handed over. */
  replayed(head: bigint, epoch: bigint): void {
    this.#epoch = epoch;
    if (head > this.#index) this.#moveTo(head);
  }

  /** The log is not the one we knew: everything in it is new. */
  reset(): void {
    this.goTo(0n, 0n);
    this.#ownCopies.clear();
  }

  #moveTo(index: bigint): void {
    this.#index = index;
    // Nearly in order: what is left behind is found later, or forgotten as one too many.
    for (const copy of this.#ownCopies) {
      if (copy > index) break;
      this.#ownCopies.delete(copy);
    }
  }
}
