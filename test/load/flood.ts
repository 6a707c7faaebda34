import { setTimeout as delay } from "node:timers/promises";
import { isError, isMessage, isSignal, markOf, MarkedMessage } from "../bench/marked-message.js";
import { LiteSocket } from "../bench/ws-lite.js";

export interface FloodOptions {
  readonly port: number;
  /** Best with scope `no-copy`. */
  readonly token: string;
  readonly to: string;
  readonly count: number;
  readonly payloadBytes: number;
  /** Upper limit of the rate; absent: as fast as SENT comes. */
  readonly perSecond?: number;
  /** Messages that may wait for their SENT. */
  readonly window: number;
}

const TICK_MS = 5;

/** Writes messages 0 … count-1 to one user; resolves when each has its SENT. @throws Error for any other answer. */
export async function flood(options: FloodOptions): Promise<void> {
  const { port, token, count, perSecond, window } = options;
  let confirmed = 0;
  let problem = "";
  const onFrame = (frame: Buffer): void => {
    if (isError(frame)) problem = `an error came: ${frame.toString("latin1")}`;
    else if (isSignal(frame) && markOf(frame) >= 0) confirmed++;
  };
  const socket = await LiteSocket.open(port, token, { onFrame });
  const messages = new MarkedMessage(options);
  const startedMs = performance.now();
  let sent = 0;
  while (confirmed < count) {
    const due = perSecond === undefined ? count : ((performance.now() - startedMs) * perSecond) / 1_000;
    while (sent < Math.min(count, due) && sent - confirmed < window) socket.send(messages.frame(sent++));
    if (problem !== "" || socket.closed) throw new Error(problem || "the sender's connection was closed");
    await delay(TICK_MS);
  }
  socket.close();
}

/** A device that takes a flood and counts: 0, 1, 2 … in order, each once. */
export class FloodReader {
  /** So many came, all in order. */
  count = 0;
  /** Came, but not as the next one. */
  wrong = 0;
  readonly #open: () => Promise<LiteSocket>;
  #socket: LiteSocket | undefined;

  constructor(port: number, token: string) {
    this.#open = () => LiteSocket.open(port, token, { onFrame: (frame) => this.#onFrame(frame) });
  }

  /** Also once more: it acknowledges nothing, so the log comes from its beginning. */
  async connect(): Promise<void> {
    this.count = 0;
    this.#socket = await this.#open();
  }

  get closed(): boolean {
    return this.#socket?.closed !== false;
  }

  /** Really reads nothing any more. */
  freeze(): void {
    this.#socket?.pause();
  }

  wake(): void {
    this.#socket?.resume();
  }

  close(): void {
    this.#socket?.close();
  }

  #onFrame(frame: Buffer): void {
    if (!isMessage(frame)) return;
    if (markOf(frame) === this.count) this.count++;
    else this.wrong++;
  }
}
