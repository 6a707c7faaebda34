/**
 * Finds the sessions of a revoked token id. Holds a number of 32 bits for each session, not the id, which may be long: what
 * is found may be another's session, one in four billion, and is looked at again.
 */
export class SessionsByJti<S extends object> {
  // Nearly every number stands for one session: a set each would cost more than the rest. A token that names no device may serve many.
  readonly #sessions = new Map<number, S | Set<S>>();

  /** @param key of the bucket of revocations */
  add(key: string, session: S): void {
    const number = numberOf(key);
    const held = this.#sessions.get(number);
    if (held === undefined) this.#sessions.set(number, session);
    else if (held instanceof Set) held.add(session);
    else this.#sessions.set(number, new Set([held, session]));
  }

  remove(key: string, session: S): void {
    const number = numberOf(key);
    const held = this.#sessions.get(number);
    if (held instanceof Set) held.delete(session);
    if (held === session || (held instanceof Set && held.size === 0)) this.#sessions.delete(number);
  }

  /** At least the sessions of this key. */
  of(key: string): Iterable<S> {
    const held = this.#sessions.get(numberOf(key));
    if (held === undefined) return [];
    return held instanceof Set ? held : [held];
  }

  get size(): number {
    return this.#sessions.size;
  }
}

/** The first 32 bits of the key's hash, which needs no allocation as a key of a map. */
function numberOf(key: string): number {
  return Buffer.from(key.slice(key.indexOf(".") + 1, key.indexOf(".") + 7), "base64url").readInt32BE(0);
}
