import { setTimeout as delay } from "node:timers/promises";
import { decodeFrame, encodeStanza, MessageSchema, SignalStatus } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { LiteSocket } from "../bench/ws-lite.js";
import type { Random } from "../chaos/random.js";

const MAX_GAP_MS = 4;
const ANSWER_MS = 20_000;

/** Writes to one user without end: the next message shortly after the last one's SENT. */
export class RacePublisher {
  /** Ids with a SENT, in order. */
  confirmed: string[] = [];
  readonly #socket: LiteSocket;
  readonly #random: Random;
  #answered: ((problem?: string) => void) | undefined;
  #count = 0;
  #to = "";
  #running: Promise<void> = Promise.resolve();
  #failure: unknown;

  private constructor(socket: LiteSocket, random: Random) {
    this.#socket = socket;
    this.#random = random;
    socket.onFrame = (frame) => this.#onFrame(frame);
  }

  /** @param options.token with scope `no-copy`: the publisher's own log is of no interest */
  static async open(options: { port: number; token: string; random: Random }): Promise<RacePublisher> {
    return new RacePublisher(await LiteSocket.open(options.port, options.token), options.random);
  }

  start(to: string): void {
    this.#to = to;
    this.confirmed = [];
    this.#running = this.#run(to).catch((error: unknown) => {
      this.#failure = error;
    });
  }

  /** Resolves when the last message has its SENT. */
  async stop(): Promise<void> {
    this.#to = "";
    await this.#running;
    if (this.#failure !== undefined) throw this.#failure;
  }

  close(): void {
    this.#socket.close();
  }

  async #run(to: string): Promise<void> {
    while (this.#to === to) {
      const id = `m${this.#count++}`;
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`no answer to ${id} in ${ANSWER_MS} ms`)), ANSWER_MS);
        this.#answered = (problem) => {
          clearTimeout(timer);
          if (problem === undefined) resolve();
          else reject(new Error(problem));
        };
        this.#socket.send(encodeStanza("message", create(MessageSchema, { id, to: { eid: to } })));
      });
      this.confirmed.push(id);
      await delay(this.#random.next() * MAX_GAP_MS);
    }
  }

  #onFrame(frame: Buffer): void {
    const { kind, value } = decodeFrame(frame).stanza;
    if (kind === "signal" && value.status === SignalStatus.SENT) this.#answered?.();
    else if (kind === "error") this.#answered?.(`${value.code} ${value.details}`);
  }
}
