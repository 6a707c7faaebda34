import { setTimeout as delay } from "node:timers/promises";
import { LiteSocket } from "../bench/ws-lite.js";
import type { Random } from "../chaos/random.js";

export interface FlapperOptions {
  readonly eid: string;
  readonly device: string;
  readonly token: string;
  readonly ports: readonly number[];
  readonly random: Random;
  /** How long it stays connected, and mostly away, at most. */
  readonly maxStayMs: number;
  readonly maxAwayMs: number;
  /** Sometimes it is away so long that it counts as gone. */
  readonly longAwayMs: number;
  readonly longAwayShare: number;
}

/** Between two tries of a connect that was refused. */
const RETRY_MS = 100;

/** A device that connects, leaves and connects again, as fast as it can, until it is told how to end. */
export class Flapper {
  readonly eid: string;
  connects = 0;
  refused = 0;
  /** Connections that the server ended. */
  lost = 0;
  readonly #o: FlapperOptions;
  #socket: LiteSocket | undefined;
  #stopping = false;
  #running: Promise<void> = Promise.resolve();

  constructor(options: FlapperOptions) {
    this.#o = options;
    this.eid = options.eid;
  }

  get isConnected(): boolean {
    return this.#socket?.closed === false;
  }

  start(): void {
    this.#running = this.#flap();
  }

  /** Flaps no more, and is connected, or not. May be called again: a connection that was lost is made anew. */
  async end(connected: boolean): Promise<void> {
    this.#stopping = true;
    await this.#running;
    if (!connected) this.#socket?.close();
    while (connected && !this.isConnected) await this.#connect();
  }

  async #flap(): Promise<void> {
    const { random, maxStayMs, maxAwayMs, longAwayMs, longAwayShare } = this.#o;
    while (!this.#stopping) {
      await this.#connect();
      await delay(random.next() * maxStayMs);
      this.#socket?.close();
      const isLong = random.next() < longAwayShare;
      await delay(isLong ? longAwayMs : random.next() * maxAwayMs);
    }
  }

  async #connect(): Promise<void> {
    const { ports, token, random } = this.#o;
    try {
      let isOurs = true;
      const socket = await LiteSocket.open(random.pick(ports), token, {
        localAddress: `127.0.0.${random.whole(2, 200)}`,
        onLost: () => {
          if (isOurs) this.lost++;
          isOurs = false;
        },
      });
      this.connects++;
      this.#socket = socket;
    } catch {
      this.refused++;
      await delay(RETRY_MS);
    }
  }
}
