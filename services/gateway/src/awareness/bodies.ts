import { BODY_ROUTE, encodeBody } from "@bimip/protocol";
import type { Change } from "./change.js";

/** `Body.route` of the Bodies that a list is told by. */
export interface Routes {
  /** Of the last one, or the only one. */
  readonly last: number;
  /** Of those before it. */
  readonly before: number;
}

const CHANGES: Routes = { last: BODY_ROUTE.changes, before: BODY_ROUTE.changes };

/** Of Awareness in one Body. */
const MAX_BYTES = 512 * 1_024;

/**
 * Awareness as Bodies of at most 512 KiB each, at least one; a single longer one has a Body of its own.
 *
 * @param awareness encoded
 */
export function encodeBodies(routes: Routes, awareness: readonly Uint8Array[]): Uint8Array[] {
  const bodies: Uint8Array[] = [];
  const timestampMs = Date.now();
  let from = 0;
  let bytes = 0;
  const end = (to: number): void => {
    const part = from === 0 && to === awareness.length ? awareness : awareness.slice(from, to);
    const route = to === awareness.length ? routes.last : routes.before;
    bodies.push(encodeBody({ route, awareness: part, timestampMs }));
    from = to;
    bytes = 0;
  };
  for (const [at, { length }] of awareness.entries()) {
    if (bytes > 0 && bytes + length > MAX_BYTES) end(at);
    bytes += length;
  }
  end(awareness.length);
  return bodies;
}

/** Bodies of several changes. Sessions that are told the same one after the other get the same bytes. */
export class SharedBodies {
  #changes: readonly Change[] = [];
  #frames: readonly Uint8Array[] = [];

  of(changes: readonly Change[]): readonly Uint8Array[] {
    if (!areSame(changes, this.#changes)) {
      this.#changes = changes;
      this.#frames = encodeBodies(
        CHANGES,
        changes.map(({ payload }) => payload),
      );
    }
    return this.#frames;
  }
}

/** The very same things in the same order. */
export function areSame<T>(some: readonly T[], others: readonly T[]): boolean {
  if (some.length !== others.length) return false;
  for (let at = 0; at < some.length; at++) if (some[at] !== others[at]) return false;
  return true;
}
