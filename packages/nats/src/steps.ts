/** How long to wait before try `failures + 1`: the steps one after the other, then the last of them; milliseconds. */
export function stepMs(stepsMs: readonly number[], failures: number): number {
  return stepsMs[Math.min(failures, stepsMs.length - 1)] ?? 0;
}

/** The same, half to one and a half times as long: those who failed together do not come again together. */
export function jitteredStepMs(stepsMs: readonly number[], failures: number): number {
  return stepMs(stepsMs, failures) * (0.5 + Math.random());
}
