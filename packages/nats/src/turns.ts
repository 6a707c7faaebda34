/** Runs a work when it has its turn; answers with its result. */
export type Turns = <T>(work: () => Promise<T>) => Promise<T>;

/** At most `places` of the given works run at once; the others wait in order. */
export function createTurns(places: number): Turns {
  let free = places;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
}
