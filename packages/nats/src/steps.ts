/** How long to wait before try `failures + 1`: the steps one after the other, then the last of them; milliseconds. */
export function stepMs(stepsMs: readonly number[], failures: number): number {
  return stepsMs[Math.min(failures, stepsMs.length - 1)] ?? 0;
}
