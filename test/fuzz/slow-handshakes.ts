import { setTimeout as delay } from "node:timers/promises";
import { RawSocket, upgradeRequest } from "./raw-socket.js";
import type { Tally } from "./tally.js";

/** One byte in so long: a whole request takes minutes. */
const BYTE_MS = 500;

/** Sockets that speak so slowly that they never come to an end; the server must end them. */
export class SlowHandshakes {
  readonly #sockets: { readonly socket: RawSocket; readonly startedMs: number }[] = [];
  readonly #tally: Tally;
  readonly #port: number;
  #stopped = false;
  #running: Promise<void> = Promise.resolve();
  /** The longest that one was left open, of those that were ended; milliseconds. */
  longestMs = 0;
  ended = 0;

  constructor(port: number, tally: Tally) {
    this.#port = port;
    this.#tally = tally;
  }

  /** The first ones send a request byte by byte, the last one nothing at all. */
  start(count: number): void {
    for (let n = 0; n < count; n++) {
      const startedMs = performance.now();
      const socket = RawSocket.dial({
        port: this.#port,
        onFrame: () => this.#tally.problem("a slow handshake got a frame"),
        onProblem: (text) => this.#tally.problem(`slow handshake: ${text}`),
        onEnd: () => {
          if (this.#stopped) return;
          this.ended++;
          this.longestMs = Math.max(this.longestMs, performance.now() - startedMs);
        },
      });
      this.#sockets.push({ socket, startedMs });
    }
    this.#running = this.#drip();
  }

  get open(): number {
    return this.#sockets.filter(({ socket }) => !socket.ended).length;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    for (const { socket } of this.#sockets) socket.reset();
  }

  async #drip(): Promise<void> {
    // All of a request but its end, and one more header that has none either.
    const request = Buffer.concat([upgradeRequest({}).subarray(0, -2), Buffer.from("X-Slow: ")]);
    // uWebSockets answers a first line in pieces with 505.
    const line = request.indexOf("\r\n") + 2;
    for (const { socket } of this.#sockets.slice(0, -1)) socket.write(request.subarray(0, line));
    for (let at = line; !this.#stopped && this.open > 0; at++) {
      const byte = Uint8Array.of(request[at] ?? 0x61);
      for (const { socket } of this.#sockets.slice(0, -1)) socket.write(byte);
      await delay(BYTE_MS);
    }
  }
}
