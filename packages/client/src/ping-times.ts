import type { BimipError } from "@bimip/protocol";
import { randomId } from "./random-id.js";

interface Ping {
  readonly startedMs: number;
  readonly resolve: (roundTripMs: number) => void;
  readonly reject: (error: BimipError) => void;
}

/** The pings that wait for their pong. */
export class PingTimes {
  readonly #pings = new Map<string, Ping>();

  get waiting(): number {
    return this.#pings.size;
  }

  /** Sends one; resolves with the round trip in milliseconds. */
  start(send: (id: string) => void): Promise<number> {
    return new Promise((resolve, reject) => {
      const id = randomId();
      this.#pings.set(id, { startedMs: performance.now(), resolve, reject });
      send(id);
    });
  }

  answer(id: string): void {
    const ping = this.#pings.get(id);
    this.#pings.delete(id);
    ping?.resolve(performance.now() - ping.startedMs);
  }

  fail(error: BimipError): void {
    const pings = [...this.#pings.values()];
    this.#pings.clear();
    for (const ping of pings) ping.reject(error);
  }
}
