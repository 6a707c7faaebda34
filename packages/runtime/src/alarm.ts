/** The longest timer that Node keeps, 24.8 days. */
const MAX_TIMER_MS = 2_147_483_647;

/**
 * Rings once, at that time or soon when it is past, however far away it is. Does not keep the process alive. Answers with the way
 * to stop it.
 *
 * @param atMs epoch milliseconds
 */
export function alarmAt(atMs: number, ring: () => void): () => void {
  let timer: NodeJS.Timeout;
  const arm = (): void => {
    const leftMs = Math.max(atMs - Date.now(), 0);
    // Timers ring up to a millisecond early, and clocks are set.
    timer = setTimeout(() => (Date.now() < atMs ? arm() : ring()), Math.min(leftMs, MAX_TIMER_MS)).unref();
  };
  arm();
  return () => clearTimeout(timer);
}
