import { dropOldest } from "@bimip/runtime";

/** Replicas that are remembered; one that is started again has another name. */
const MAX_REPLICAS = 256;

/**
 * Whether messages got lost on their way, as they may between two nats-servers while both sides stay connected: each replica of
 * awareness numbers those to this gateway, and repeats its last number when it falls silent.
 */
export class Numbered {
  readonly #last = new Map<string, number>();

  /**
   * False: something before this one got lost.
   *
   * @param isRepeat of the last number, not a message of its own
   */
  take(replica: string, number: number, isRepeat: boolean): boolean {
    const known = this.#last.get(replica);
    this.#last.delete(replica); // the last in order is the last that told something
    this.#last.set(replica, number);
    // Nothing is known of what it told before, but that its first message is number 1.
    if (known === undefined) {
      if (this.#last.size > MAX_REPLICAS) dropOldest(this.#last);
      return isRepeat || number === 1;
    }
    // A replica for which this gateway held nobody for a while begins at 1 again.
    return number <= (isRepeat ? known : known + 1);
  }
}
