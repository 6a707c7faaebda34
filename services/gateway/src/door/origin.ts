const ANY = "*";

/**
 * Which pages may connect. A browser sends the page's origin and no script can change it; who sends none is no browser. Compared
 * byte by byte, as browsers write it: no case, port or dot is made equal.
 */
export class Origins {
  readonly #allowed: ReadonlySet<string>;

  /** @param allowed origins, or `*` for any */
  constructor(allowed: readonly string[]) {
    this.#allowed = new Set(allowed);
  }

  /** @param origins each `Origin` header of the request: browsers send one at most */
  allows(origins: readonly string[]): boolean {
    if (this.#allowed.has(ANY) || origins.length === 0) return true;
    const [origin = ""] = origins;
    return origins.length === 1 && this.#allowed.has(origin);
  }
}
