/** One promise that several wait for; made when the first asks, gone when it is settled. */
export class Waiter {
  #current: { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } | undefined;

  get pending(): boolean {
    return this.#current !== undefined;
  }

  wait(): Promise<void> {
    if (this.#current === undefined) {
      let resolve!: () => void;
      let reject!: (error: Error) => void;
      const promise = new Promise<void>((onDone, onError) => {
        resolve = onDone;
        reject = onError;
      });
      this.#current = { promise, resolve, reject };
    }
    return this.#current.promise;
  }

  resolve(): void {
    const current = this.#current;
    this.#current = undefined;
    current?.resolve();
  }

  reject(error: Error): void {
    const current = this.#current;
    this.#current = undefined;
    current?.reject(error);
  }
}
