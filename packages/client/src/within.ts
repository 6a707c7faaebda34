/** As `promise`, but no later than `timeoutMs`; then it is what `late` answers, or rejects with what it throws. */
export async function within<Value>(promise: Promise<Value>, timeoutMs: number, late: () => Value): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  try {
    return await Promise.race([promise, timeout.then(late)]);
  } finally {
    clearTimeout(timer);
  }
}
