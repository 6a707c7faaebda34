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

/** A message that was not taken, and must come again before what follows it. */
interface Refusal {
  readonly id: string;
  readonly order: number;
  /** It is waited for until then (performance.now). */
  untilMs: number;
  /** `order` of the message by which it came again. */
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
  /** By recipient, by order; each but the last has come again, and waits in line. */
  readonly #refusals = new Map<string, Refusal[]>();
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
   * From here on the messages to that recipient are refused until this one comes again: what is already on its way must not
   * overtake it. Where an earlier one is waited for, this one comes behind it by itself.
   */
  refuseBehind({ id, to, order }: Pick<OutgoingMessage, "id" | "to" | "order">): void {
    const untilMs = performance.now() + REFUSED_MS;
    const refusals = this.#refusals.get(to) ?? [];
    const known = refusals.findIndex((refusal) => refusal.id === id && refusal.order < order);
    // What was refused later comes again behind it.
    const kept = known >= 0 ? refusals.slice(0, known + 1) : refusals.filter((refusal) => refusal.order < order);
    const last = kept.at(-1);
    if (last === undefined || (known < 0 && last.repeat < order)) {
      kept.push({ id, order, untilMs, repeat: Number.POSITIVE_INFINITY });
    } else {
      last.untilMs = untilMs;
      last.repeat = Number.POSITIVE_INFINITY;
    }
    this.#refusals.set(to, kept);
    if (this.#refusals.size > MAX_REFUSALS) dropOldest(this.#refusals);
  }

  /** Whether it may go on, or must wait for an earlier one to be repeated. */
  admits({ id, to, order }: OutgoingMessage): boolean {
    const refusals = this.#refusals.get(to);
    if (refusals === undefined) return true;
    const nowMs = performance.now();
    for (const refusal of refusals) {
      // What was taken before the refused one, and waited in line, overtakes nothing.
      if (order < refusal.order) return true;
      if (nowMs >= refusal.untilMs) this.#remove(to, refusal);
      else {
        if (id === refusal.id && order > refusal.order) refusal.repeat = Math.min(refusal.repeat, order);
        if (order < refusal.repeat) return false;
      }
    }
    return true;
  }

  /** It goes to the logs: if it is what was waited for, it is waited for no more. */
  passed({ to, order }: OutgoingMessage): void {
    if (this.#refusals.size === 0) return;
    const refusal = this.#refusals.get(to)?.find(({ repeat }) => repeat === order);
    if (refusal !== undefined) this.#remove(to, refusal);
  }

  #remove(to: string, refusal: Refusal): void {
    const left = this.#refusals.get(to)?.filter((other) => other !== refusal) ?? [];
    if (left.length > 0) this.#refusals.set(to, left);
    else this.#refusals.delete(to);
  }
}
