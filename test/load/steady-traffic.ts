import { isMessage, markOf, MarkedMessage } from "../bench/marked-message.js";
import { type Percentiles, percentiles } from "../bench/percentiles.js";
import { LiteSocket } from "../bench/ws-lite.js";

export interface SteadyOptions {
  readonly port: number;
  readonly pairs: readonly { senderToken: string; receiverToken: string; to: string }[];
  /** Messages a second of all pairs together. */
  readonly perSecond: number;
}

const PAYLOAD_BYTES = 50;
const TICK_MS = 5;

/** Pairs of users who write at a fixed rate, whatever the answers; the time counts from when a message was due. */
export class SteadyTraffic {
  readonly #senders: { socket: LiteSocket; messages: MarkedMessage }[] = [];
  readonly #receivers: LiteSocket[] = [];
  readonly #dueAt: number[] = [];
  readonly #gapMs: number;
  #timer: NodeJS.Timeout | undefined;
  #latencies: number[] = [];
  #received = 0;
  #nextDueMs = 0;

  private constructor(perSecond: number) {
    this.#gapMs = 1_000 / perSecond;
  }

  static async open({ port, pairs, perSecond }: SteadyOptions): Promise<SteadyTraffic> {
    const traffic = new SteadyTraffic(perSecond);
    for (const { senderToken, receiverToken, to } of pairs) {
      const onFrame = (frame: Buffer): void => traffic.#onFrame(frame);
      traffic.#receivers.push(await LiteSocket.open(port, receiverToken, { onFrame }));
      const socket = await LiteSocket.open(port, senderToken);
      traffic.#senders.push({ socket, messages: new MarkedMessage({ to, payloadBytes: PAYLOAD_BYTES }) });
    }
    return traffic;
  }

  start(): void {
    this.#nextDueMs = performance.now();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** End to end, in milliseconds, since the last call. */
  take(): Percentiles & { readonly count: number } {
    const latencies = this.takeAll();
    return { ...percentiles(latencies), count: latencies.length };
  }

  /** The latencies themselves, to be put together with others. */
  takeAll(): readonly number[] {
    const latencies = this.#latencies;
    this.#latencies = [];
    return latencies;
  }

  /** Sent, but not received so far. */
  get underWay(): number {
    return this.#dueAt.length - this.#received;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  close(): void {
    this.stop();
    for (const { socket } of this.#senders) socket.close();
    for (const socket of this.#receivers) socket.close();
  }

  #tick(): void {
    for (; this.#nextDueMs <= performance.now(); this.#nextDueMs += this.#gapMs) {
      const number = this.#dueAt.push(this.#nextDueMs) - 1;
      const sender = this.#senders[number % this.#senders.length];
      sender?.socket.send(sender.messages.frame(number));
    }
  }

  #onFrame(frame: Buffer): void {
    if (!isMessage(frame)) return;
    this.#received++;
    this.#latencies.push(performance.now() - (this.#dueAt[markOf(frame)] ?? 0));
  }
}
