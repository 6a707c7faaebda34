/** An entry of a user's log. An index alone means nothing once the log was recreated. */
export interface Place {
  /** Creation time of the log, epoch milliseconds. */
  readonly epoch: number;
  /** monotonic_id. */
  readonly index: number;
}

/** A push that failed and is to be tried again. */
export interface Retry extends Place {
  /** Failed tries so far. */
  readonly tries: number;
  /** Epoch milliseconds. */
  readonly notBeforeMs: number;
  /** Names of the targets that need no further try. */
  readonly done: readonly string[];
}

/** "I am pushing this now": no other router pushes for this user meanwhile. Over when the entry is settled, too. */
export interface Claim extends Place {
  /** The router. */
  readonly by: string;
  /** Epoch milliseconds. */
  readonly untilMs: number;
}

/** What a user's mark says, beside "look": it is kept there so that no restart forgets it, and for all routers to see. */
export interface Mark {
  /** The newest entry that was noticed: until a look came that far, the user is not done with. */
  readonly noticed: Place | undefined;
  readonly retry: Retry | undefined;
  readonly claim: Claim | undefined;
}

export const EMPTY_MARK: Mark = { noticed: undefined, retry: undefined, claim: undefined };

/** A mark's payload, JSON. */
export function encodeMark(mark: Mark): string {
  return JSON.stringify(mark);
}

/** What {@link encodeMark} made; a part that cannot be read counts as absent: a mark at least says "look". */
export function decodeMark(text: string): Mark {
  try {
    const { noticed, retry, claim } = JSON.parse(text) as Partial<Mark>;
    return {
      noticed: isPlace(noticed) ? noticed : undefined,
      retry:
        isPlace(retry) && areWhole(retry.tries, retry.notBeforeMs) && Array.isArray(retry.done) ? retry : undefined,
      claim: isPlace(claim) && areWhole(claim.untilMs) && typeof claim.by === "string" ? claim : undefined,
    };
  } catch {
    return EMPTY_MARK;
  }
}

function isPlace<T extends Place>(value: T | undefined): value is T {
  return areWhole(value?.epoch, value?.index);
}

function areWhole(...values: readonly unknown[]): boolean {
  return values.every((value) => Number.isSafeInteger(value));
}

/** Of two places the one that is further; one in a newer log is. */
export function further<T extends Place>(a: T | undefined, b: T | undefined): T | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  if (a.epoch !== b.epoch) return a.epoch > b.epoch ? a : b;
  return b.index > a.index ? b : a;
}

/** Of two states of a user's pushes, the one that is further. */
export function later(a: Retry | undefined, b: Retry | undefined): Retry | undefined {
  return isAt(a, b) && (b?.tries ?? 0) > (a?.tries ?? 0) ? b : further(a, b);
}

/** Whether both are of the same entry. */
export function isAt(a: Place | undefined, b: Place | undefined): boolean {
  return a?.epoch === b?.epoch && a?.index === b?.index;
}

/** Whether what lies at `place` lies within what was covered. */
export function isCovered(place: Place, covered: Place | undefined): boolean {
  return covered?.epoch === place.epoch && covered.index >= place.index;
}

export function isSame(a: Retry | undefined, b: Retry | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
