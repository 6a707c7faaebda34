/** Those who wait for the same thing to happen. Who does not wait any longer leaves nothing behind. */
export class Waiting {
  readonly #resolvers = new Set<() => void>();

  /**
   * Resolves with true when it happens, with false when it did not until then.
   *
   * @param untilMs performance.now; absent: for as long as it takes
   */
  async until(untilMs?: number): Promise<boolean> {
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      const happened = (): void => {
        clearTimeout(timer);
        resolve(true);
      };
      this.#resolvers.add(happened);
      if (untilMs === undefined) return;
      timer = setTimeout(
        () => {
          this.#resolvers.delete(happened);
          resolve(false);
        },
        Math.max(untilMs - performance.now(), 0),
      );
    });
  }

  get count(): number {
    return this.#resolvers.size;
  }

  /** It happened. */
  resolve(): void {
    for (const happened of this.#resolvers) happened();
    this.#resolvers.clear();
  }
}
