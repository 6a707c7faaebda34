const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** Ctrl-C and SIGTERM. `first` settles at the first one; the second ends the process at once. */
export interface StopSignal {
  readonly first: Promise<void>;
  /** Listens no more. */
  dispose(): void;
}

/** Shell convention: 128 + SIGINT. */
const FORCED_EXIT = 130;

export function onStopSignal(): StopSignal {
  let stop!: () => void;
  const first = new Promise<void>((resolve) => {
    stop = resolve;
  });
  let count = 0;
  const listener = (): void => {
    if (++count > 1) process.exit(FORCED_EXIT);
    stop();
  };
  for (const signal of SIGNALS) process.on(signal, listener);
  return {
    first,
    dispose: () => {
      for (const signal of SIGNALS) process.off(signal, listener);
    },
  };
}
