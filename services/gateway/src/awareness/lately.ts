import { areSame } from "./bodies.js";

interface Told<Recipient> {
  revision: number;
  readonly recipients: readonly Recipient[];
}

const NOTHING: readonly never[] = [];
/** Audiences remembered of one user; they differ when contacts come and go, or visibility changes. */
const MAX_AUDIENCES = 64;

/**
 * Who was told of whom lately, and at which revision: what comes late is older than that. Kept for the whole gateway: a
 * change costs one entry, however many are told.
 */
export class Lately<Recipient> {
  #young = new Map<string, Told<Recipient>[]>();
  #old = new Map<string, Told<Recipient>[]>();

  /** Forgets what was noted before the last call of this. */
  age(): void {
    this.#old = this.#young;
    this.#young = new Map();
  }

  /** Forgets everything. */
  clear(): void {
    this.#young.clear();
    this.#old.clear();
  }

  /** The recipients who were told of `about` at a higher revision. */
  newer(about: string, revision: number): readonly (readonly Recipient[])[] {
    let found: (readonly Recipient[])[] | undefined;
    for (const told of [this.#young.get(about), this.#old.get(about)]) {
      if (told === undefined) continue;
      for (const { revision: higher, recipients } of told) {
        if (higher <= revision) continue;
        found ??= [];
        found.push(recipients);
      }
    }
    return found ?? NOTHING;
  }

  /** @param recipients kept as it is */
  note(about: string, revision: number, recipients: readonly Recipient[]): void {
    const told = this.#young.get(about);
    if (told === undefined) return void this.#young.set(about, [{ revision, recipients }]);
    for (const known of told) {
      if (!areSame(known.recipients, recipients)) continue;
      known.revision = Math.max(known.revision, revision);
      return;
    }
    told.push({ revision, recipients });
    if (told.length > MAX_AUDIENCES) told.shift();
  }
}
