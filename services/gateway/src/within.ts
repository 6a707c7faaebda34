/**
 * The result of `work`, or a rejection with `problem()` once `deadlineMs` (performance.now) has passed. The work itself
 * goes on.
 */
export async function within<T>(deadlineMs: number, work: Promise<T>, problem: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(problem()), Math.max(deadlineMs - performance.now(), 0));
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
