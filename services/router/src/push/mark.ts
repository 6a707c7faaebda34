/** A push that failed and is to be tried again. */
export interface Retry {
  /** monotonic_id of the entry. */
  readonly index: number;
  /** Failed tries so far. */
  readonly tries: number;
  /** Epoch milliseconds. */
  readonly notBeforeMs: number;
  /** Names of the targets that need no further try. */
  readonly done: readonly string[];
}

/** A mark's payload: nothing, or the push to be tried again, as JSON. It is kept there so that a restart does not forget it. */
export function encodeMark(retry: Retry | undefined): string {
  return retry === undefined ? "" : JSON.stringify(retry);
}

/** What {@link encodeMark} made; anything else counts as nothing: a mark only says "look". */
export function decodeMark(text: string): Retry | undefined {
  if (text === "") return undefined;
  try {
    const { index, tries, notBeforeMs, done } = JSON.parse(text) as Partial<Retry>;
    const usable =
      Number.isSafeInteger(index) &&
      Number.isSafeInteger(tries) &&
      Number.isSafeInteger(notBeforeMs) &&
      Array.isArray(done);
    return usable ? ({ index, tries, notBeforeMs, done } as Retry) : undefined;
  } catch {
    return undefined;
  }
}

/** Of two states of a user's pushes, the one that is further. */
export function later(a: Retry | undefined, b: Retry | undefined): Retry | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  if (a.index !== b.index) return a.index > b.index ? a : b;
  return a.tries >= b.tries ? a : b;
}

export function isSame(a: Retry | undefined, b: Retry | undefined): boolean {
  return encodeMark(a) === encodeMark(b);
}
