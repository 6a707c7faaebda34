/** Typed listeners, one value per event. */
export class Emitter<Events extends object> {
  readonly #handlers: { [Name in keyof Events]?: Set<(value: Events[Name]) => void> } = {};

  /** Adds a handler; the answer removes it. */
  on<Name extends keyof Events>(name: Name, handler: (value: Events[Name]) => void): () => void {
    const handlers = (this.#handlers[name] ??= new Set());
    // A wrapper of its own, so that the same function can be added twice and removed once.
    const entry = (value: Events[Name]): void => handler(value);
    handlers.add(entry);
    return () => void handlers.delete(entry);
  }

  has(name: keyof Events): boolean {
    return (this.#handlers[name]?.size ?? 0) > 0;
  }

  /** Calls the handlers in the order they came. One that throws stops nobody; its error is reported as uncaught. */
  emit<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    for (const handler of this.#handlers[name] ?? []) {
      try {
        handler(value);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
