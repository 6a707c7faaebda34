import { type BimipError, ErrorCode } from "@bimip/protocol";

const MAX_IDS = 10_000;

/** Stanzas of a connection in whose place newer ones were sent: that the server could not take them is nobody's loss. */
export class SupersededIds {
  readonly #ids = new Set<string>();

  /** @param id "" = there was none */
  add(id: string): void {
    if (id === "") return;
    this.#ids.add(id);
    for (const oldest of this.#ids) {
      if (this.#ids.size <= MAX_IDS) return;
      this.#ids.delete(oldest);
    }
  }

  /** true if it asks to send again what need not be sent any more. */
  excuses({ id = "", code }: BimipError): boolean {
    return (code === ErrorCode.TRY_AGAIN || code === ErrorCode.TOO_FAST) && this.#ids.has(id);
  }

  clear(): void {
    this.#ids.clear();
  }
}
