/** Polls until `probe` returns something truthy; the only way that tests wait. Fails with `what` after `withinMs`. */
export async function eventually<T>(
  what: string | (() => string),
  probe: () => T | Promise<T>,
  withinMs = 20_000,
): Promise<NonNullable<T>> {
  const deadline = performance.now() + withinMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline)
      throw new Error(`not within ${withinMs} ms: ${typeof what === "string" ? what : what()} (last: ${String(last)})`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
