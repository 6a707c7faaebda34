/** Typed listeners, one value per event. */
export class Emitter<Events extends object> {
  readonly #handlers = new Map<keyof Events, Set<(value: never) => void>>();

  /** Adds a handler; the answer removes it. */
  on<Name extends keyof Events>(name: Name, handler: (value: Events[Name]) => void): () => void {
    let handlers = this.#handlers.get(name);
    if (handlers === undefined) {
      handlers = new Set();
      this.#handlers.set(name, handlers);
    }
    // A wrapper of its own, so that the same function can be added twice and removed once.
    const entry = (value: Events[Name]): void => handler(value);
    handlers.add(entry);
    return () => void handlers.delete(entry);
  }

  has(name: keyof Events): boolean {
    return (this.#handlers.get(name)?.size ?? 0) > 0;
  }

  /** Calls the handlers in the order they came. One that throws stops nobody; its error is reported as uncaught. */
  emit<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    for (const handler of this.#handlers.get(name) ?? []) {
      try {
        (handler as (value: Events[Name]) => void)(value);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
