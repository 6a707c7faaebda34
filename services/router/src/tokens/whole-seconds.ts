/** Now, as tokens and revocations count it: epoch seconds, the begun one not counted. */
export function wholeSeconds(): number {
  return Math.floor(Date.now() / 1_000);
}
