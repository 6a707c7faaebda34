/** A time as refusals tell it: `0.4 s`, never less than there is, and never 0. */
export function seconds(ms: number): string {
  return `${Math.max(1, Math.ceil(ms)) / 1_000} s`;
}
