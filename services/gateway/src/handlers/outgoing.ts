import { dropOldest } from "@bimip/runtime";
/** A message on its way from the device to the logs. */
export interface OutgoingMessage {
  readonly kind: "message" | "pushNotification";
  readonly id: string;
  readonly to: string;
  /** The client's; epoch milliseconds. */
  readonly timestamp: bigint;
  /** As it is stored. */
  readonly payload: Uint8Array;
  readonly startedMs: number;
  /** Place in the order of this session's messages. */
  readonly order: number;
}

/** To this recipient something could not be stored. */
interface Refusal {
  /** The earliest such message. */
  readonly id: string;
  readonly order: number;
  /** It is waited for until then (performance.now). */
  readonly untilMs: number;
  /** `order` of the message by which it came again. What stood in line before that goes back to the client. */
  repeat: number;
}

/** A client that never repeats what failed is let through after so long. */
const REFUSED_MS = 15_000;
/** Recipients that a session waits for a repeat to. Beyond, the longest waiting is given up. */
const MAX_REFUSALS = 4_096;

/** The messages of one session that have no SENT yet. */
export class Outgoing {
  count = 0;
  bytes = 0;
  /** What waits for a flow decision, or for a look into the log, per recipient, in order. */
  readonly lines = new Map<string, OutgoingMessage[]>();
  readonly #refusals = new Map<string, Refusal>();
  #taken = 0;

  nextOrder(): number {
    return this.#taken++;
  }

  add({ payload }: OutgoingMessage): void {
    this.count++;
    this.bytes += payload.length;
  }

  remove({ payload }: OutgoingMessage): void {
    this.count--;
    this.bytes -= payload.length;
  }

  /**
   * From the first failure on, the messages to that recipient are refused until the earliest that failed comes again:
   * what is already on its way must not overtake it.
   */
  refuseBehind({ id, to, order }: OutgoingMessage): void {
    const before = this.#refusals.get(to);
    const earliest = before !== undefined && before.order < order ? before : { id, order };
    const untilMs = performance.now() + REFUSED_MS;
    this.#refusals.set(to, { id: earliest.id, order: earliest.order, untilMs, repeat: Number.POSITIVE_INFINITY });
    if (this.#refusals.size > MAX_REFUSALS) dropOldest(this.#refusals);
  }

  /** Whether it may go on, or must wait for an earlier one to be repeated. */
  admits({ id, to, order }: OutgoingMessage): boolean {
    const refusal = this.#refusals.get(to);
    // What was taken before the refused one, and waited in line, overtakes nothing.
    if (refusal === undefined || order < refusal.order) return true;
    if (performance.now() >= refusal.untilMs) {
      this.#refusals.delete(to);
      return true;
    }
    if (id === refusal.id && order > refusal.order) refusal.repeat = Math.min(refusal.repeat, order);
    return order >= refusal.repeat;
  }

  /** It goes to the logs: if it is what was waited for, nothing is waited for any more. */
  passed({ to, order }: OutgoingMessage): void {
    if (this.#refusals.size > 0 && this.#refusals.get(to)?.repeat === order) this.#refusals.delete(to);
  }
}
