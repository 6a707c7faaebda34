import type { Stored } from "./stored-log.js";

/** Where a stretch had to begin: behind this index, or at the head as it was at some moment of the connecting. */
export type Begin = { readonly after: number } | "head";

/** What came on one connection from one RESUME on, up to the next one or to the end. */
export interface Stretch {
  readonly begin: Begin;
  /** Before the socket was opened, or RESUME asked for. */
  readonly startedAtMs: number;
  /** RESUME's answer; absent: the device left before it came. */
  resumed?: { readonly atMs: number; readonly index: number };
  /** `previous_id` of the first entry. */
  firstPrevious?: number;
  readonly indexes: number[];
  readonly ids: string[];
}

export interface Verdict {
  missing: number;
  repeated: number;
  reordered: number;
  /** Not in the log, or not to be handed over here. */
  unexpected: number;
}

export const noFaults = (): Verdict => ({ missing: 0, repeated: 0, reordered: 0, unexpected: 0 });

export function addTo(sum: Verdict, { missing, repeated, reordered, unexpected }: Verdict): void {
  sum.missing += missing;
  sum.repeated += repeated;
  sum.reordered += reordered;
  sum.unexpected += unexpected;
}

/** Compares what came with the log itself. */
export function judge(stretch: Stretch, log: readonly Stored[]): Verdict {
  const verdict = noFaults();
  const { indexes, ids, resumed } = stretch;
  const idOf = new Map(log.map(({ index, id }) => [index, id]));
  const after = beginOf(stretch, log, verdict);
  const seen = new Set<number>();
  let highest = 0;
  for (const [at, index] of indexes.entries()) {
    if (idOf.get(index) !== ids[at]) verdict.unexpected++;
    else if (seen.has(index) || index <= after) verdict.repeated++;
    else if (index < highest) verdict.reordered++;
    seen.add(index);
    highest = Math.max(highest, index);
  }
  const end = Math.max(highest, resumed?.index ?? 0);
  for (const { index } of log) if (index > after && index <= end && !seen.has(index)) verdict.missing++;
  return verdict;
}

/** True when an entry was surely stored between the beginning and RESUME. */
export function fellIntoPublish({ startedAtMs, resumed }: Stretch, log: readonly Stored[]): boolean {
  if (resumed === undefined) return false;
  return log.some(({ storedAtMs }) => storedAtMs > startedAtMs && storedAtMs < resumed.atMs);
}

function beginOf({ begin, firstPrevious, resumed, startedAtMs }: Stretch, log: readonly Stored[], to: Verdict): number {
  if (begin !== "head") return begin.after;
  const after = firstPrevious ?? resumed?.index;
  if (after === undefined) return 0; // left before anything came
  const stoodAt = (ms: number): number => log.findLast(({ storedAtMs }) => storedAtMs < ms)?.index ?? 0;
  const earliest = stoodAt(startedAtMs);
  const latest = stoodAt(resumed?.atMs ?? Number.POSITIVE_INFINITY);
  for (const { index } of log) {
    if (index > after && index <= earliest) to.unexpected++;
    if (index > latest && index <= after) to.missing++;
  }
  return after;
}
