/** Called with the value of an event. A promise (or thenable) that it answers with is waited for where that matters. */
export type Handler<Value> = (value: Value) => unknown;

/** Typed listeners, one value per event. */
export class Emitter<Events extends object> {
  readonly #handlers: { [Name in keyof Events]?: Set<Handler<Events[Name]>> } = {};

  /** Adds a handler; the answer removes it. */
  on<Name extends keyof Events>(name: Name, handler: Handler<Events[Name]>): () => void {
    const handlers = (this.#handlers[name] ??= new Set());
    // A wrapper of its own, so that the same function can be added twice and removed once.
    const entry: Handler<Events[Name]> = (value) => handler(value);
    handlers.add(entry);
    return () => void handlers.delete(entry);
  }

  has(name: keyof Events): boolean {
    return (this.#handlers[name]?.size ?? 0) > 0;
  }

  /** Calls the handlers in the order they came. One that fails stops nobody; its error is reported as uncaught. */
  emit<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    this.deliver(name, value, () => undefined);
  }

  /**
   * As `emit`. `settle` is told when all handlers are through, their promises included: at once where none answered
   * with a promise. true = none failed.
   */
  deliver<Name extends keyof Events>(name: Name, value: Events[Name], settle: (taken: boolean) => void): void {
    let taken = true;
    const fail = (error: unknown): void => {
      taken = false;
      queueMicrotask(() => {
        throw error;
      });
    };
    const pending: Promise<unknown>[] = [];
    for (const handler of this.#handlers[name] ?? []) {
      try {
        const answer = handler(value);
        if (isThenable(answer)) pending.push(Promise.resolve(answer).catch(fail));
      } catch (error) {
        fail(error);
      }
    }
    if (pending.length === 0) return settle(taken);
    void Promise.all(pending).then(() => settle(taken));
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  return "then" in value && typeof value.then === "function";
}
