// One user who floods, as a process of its own: several sessions, whatever the answers, again and again. Told by IPC what to do.
import { randomBytes } from "node:crypto";
import { constants, setPriority } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { decodeFrame, ErrorCode } from "@bimip/protocol";
import { isError, isSignal, MarkedMessage, markOf } from "../bench/marked-message.js";
import { LiteSocket } from "../bench/ws-lite.js";

/** small, large: messages of 50 bytes and of 60 KiB; garbage: random bytes. */
export type FloodKind = "small" | "large" | "garbage";

export interface FloodOrder {
  readonly port: number;
  readonly kind: FloodKind;
  /** One for each session. */
  readonly tokens: readonly string[];
  readonly to: string;
  /** Frames a second of all sessions together. */
  readonly perSecond: number;
  readonly ms: number;
}

/** What the flooder did, and what came of it. */
export interface FloodReport {
  readonly frames: number;
  readonly connects: number;
  /** At the upgrade. */
  readonly refusedConnects: number;
  /** Messages with their SENT. */
  readonly stored: number;
  /** ErrorMessages with code 429. */
  readonly tooFast: number;
  /** Of these, such that say when to come back. */
  readonly withTime: number;
  readonly otherErrors: number;
  /** Closed with 4429. */
  readonly closed: number;
}

const BYTES: Record<FloodKind, number> = { small: 50, large: 61_000, garbage: 1_024 };
const TICK_MS = 5;
const RECONNECT_MS = 250;
const TIME = /try again in \d+(?:\.\d+)? s$/;

class Flooder {
  readonly report = {
    frames: 0,
    connects: 0,
    refusedConnects: 0,
    stored: 0,
    tooFast: 0,
    withTime: 0,
    otherErrors: 0,
    closed: 0,
  };
  readonly #order: FloodOrder;
  readonly #messages: MarkedMessage;
  /** In random order garbage is not always the same. */
  readonly #garbage = Array.from({ length: 64 }, () => randomBytes(BYTES.garbage));
  readonly #open = new Set<LiteSocket>();

  constructor(order: FloodOrder) {
    this.#order = order;
    this.#messages = new MarkedMessage({ to: order.to, payloadBytes: BYTES[order.kind] });
  }

  async run(): Promise<void> {
    const untilMs = performance.now() + this.#order.ms;
    const sessions = this.#order.tokens.map((token) => this.#stay(token, untilMs));
    const startedMs = performance.now();
    let due = 0;
    while (performance.now() < untilMs) {
      const { perSecond } = this.#order;
      // What nobody could send, since no session is open, is not sent later.
      for (; due < ((performance.now() - startedMs) * perSecond) / 1_000; due++) this.#send(due);
      await delay(TICK_MS);
    }
    await Promise.all(sessions);
    for (const socket of this.#open) socket.close();
  }

  #send(number: number): void {
    const sockets = [...this.#open];
    const socket = sockets[number % Math.max(1, sockets.length)];
    if (socket === undefined) return;
    this.report.frames++;
    const isGarbage = this.#order.kind === "garbage";
    socket.send(isGarbage ? (this.#garbage[number % 64] as Buffer) : this.#messages.frame(number));
  }

  /** Comes back whenever it is shown out. */
  async #stay(token: string, untilMs: number): Promise<void> {
    const { report } = this;
    while (performance.now() < untilMs) {
      try {
        let isLost = false;
        const socket = await LiteSocket.open(this.#order.port, token, {
          onFrame: (frame) => this.#onFrame(frame),
          onLost: (reason) => {
            isLost = true;
            if (reason.startsWith("4429")) report.closed++;
          },
        });
        report.connects++;
        this.#open.add(socket);
        while (!isLost && performance.now() < untilMs) await delay(TICK_MS);
        if (isLost) this.#open.delete(socket);
      } catch {
        report.refusedConnects++;
        await delay(RECONNECT_MS);
      }
    }
  }

  #onFrame(frame: Buffer): void {
    if (isSignal(frame) && markOf(frame) >= 0) this.report.stored++;
    if (!isError(frame)) return;
    const { stanza } = decodeFrame(new Uint8Array(frame));
    if (stanza.kind !== "error" || stanza.value.code !== ErrorCode.TOO_FAST) this.report.otherErrors++;
    else {
      this.report.tooFast++;
      if (TIME.test(stanza.value.details)) this.report.withTime++;
    }
  }
}

// It stands for somebody elsewhere, who takes no processor from the gateway.
setPriority(constants.priority.PRIORITY_BELOW_NORMAL);

process.on("message", (order: FloodOrder) => {
  const flooder = new Flooder(order);
  flooder.run().then(
    () => process.send?.({ report: flooder.report }),
    (error: unknown) => process.send?.({ error: String(error) }),
  );
});
