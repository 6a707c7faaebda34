import type { Change } from "./change.js";

/** Users of whom changes are kept for one session; beyond, a newer snapshot is less work. */
const MAX_USERS = 256;

/** Changes that wait until a session's snapshot was sent: of each user those that no later one makes up for. */
export class HeldChanges {
  readonly #byUser = new Map<string, Change[]>();

  /** False: too many wait. */
  add(change: Change): boolean {
    const before = this.#byUser.get(change.about) ?? [];
    const left = before.filter((held) => !replaces(change, held));
    left.push(change);
    this.#byUser.set(change.about, left);
    return this.#byUser.size <= MAX_USERS;
  }

  /** Forgets what has a place in the order of changes, which holds no more. */
  dropNumbered(): void {
    for (const [about, changes] of this.#byUser) {
      const left = changes.filter(({ revision }) => revision === 0);
      if (left.length > 0) this.#byUser.set(about, left);
      else this.#byUser.delete(about);
    }
  }

  /** In the order in which they came, as far as they are about the same user. */
  *all(): Iterable<Change> {
    for (const changes of this.#byUser.values()) yield* changes;
  }
}

/** What is told to one user alone has no revision, and replaces nothing that was told to all. */
function replaces(change: Change, held: Change): boolean {
  if ((change.revision === 0) !== (held.revision === 0)) return false;
  if (change.revision === 0) return change.type === held.type;
  // What ends a status of type 2 is not made up for by a presence that does not.
  return change.endsAll || (change.type === held.type && !held.endsAll);
}
