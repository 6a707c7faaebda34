/** A replica that said nothing for so long has died: it begins anew under another name. */
const KEPT_MS = 60_000;

/**
 * Whether messages got lost on their way, as they may between two nats-servers while both sides stay connected: each replica of
 * awareness numbers those to this gateway, and repeats its last number when it falls silent.
 */
export class Numbered {
  readonly #last = new Map<string, { number: number; atMs: number }>();

  /**
   * False: something before this one got lost.
   *
   * @param isRepeat of the last number, not a message of its own
   */
  take(replica: string, number: number, isRepeat: boolean): boolean {
    const now = performance.now();
    const known = this.#last.get(replica);
    if (known === undefined) {
      this.#forgetSilent(now);
      this.#last.set(replica, { number, atMs: now });
      // Nothing is known of what it told before, but that its first message is number 1.
      return isRepeat || number === 1;
    }
    const expected = isRepeat ? known.number : known.number + 1;
    // A replica that has not told this gateway anything for a while begins at 1 again.
    const isWhole = number <= expected;
    known.number = number;
    known.atMs = now;
    return isWhole;
  }

  #forgetSilent(now: number): void {
    for (const [replica, { atMs }] of this.#last) if (now - atMs > KEPT_MS) this.#last.delete(replica);
  }
}
