import type { Change } from "./change.js";

/** Users of whom changes are kept for one session; beyond, a newer snapshot is less work. */
const MAX_USERS = 256;

/** Changes that wait until a session's snapshot was sent: of each user the newest of its kind. */
export class HeldChanges {
  readonly #byUser = new Map<string, Change[]>();

  /** False: too many wait. */
  add(change: Change): boolean {
    const before = this.#byUser.get(change.about);
    if (before === undefined) this.#byUser.set(change.about, [change]);
    else {
      const at = before.findIndex((held) => replaces(change, held));
      if (at >= 0) before.splice(at, 1);
      before.push(change);
    }
    return this.#byUser.size <= MAX_USERS;
  }

  /** In the order in which they came, as far as they are about the same user. */
  *all(): Iterable<Change> {
    for (const changes of this.#byUser.values()) yield* changes;
  }
}

/** What is told to one user alone has no revision, and replaces nothing that was told to all. */
function replaces(change: Change, held: Change): boolean {
  return (change.revision === 0) === (held.revision === 0) && change.type === held.type;
}
