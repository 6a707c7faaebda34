import { setTimeout as delay } from "node:timers/promises";
import {
  encodeStanza,
  LogoutSchema,
  MessageSchema,
  PingPongSchema,
  SignalSchema,
  TokenAuthoritySchema,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import type { Random } from "../chaos/random.js";
import { frameOf, RawSocket, upgradeRequest } from "./raw-socket.js";
import type { Tally } from "./tally.js";

export interface CutterOptions {
  readonly port: number;
  readonly random: Random;
  readonly tally: Tally;
  readonly token: (eid: string, device: string) => Promise<string>;
}

/** A part of a conversation. */
interface Phase {
  readonly name: string;
  readonly bytes: Buffer;
}

const ACCOUNTS = 10;
const CUT_PAUSE_MS = 5;
const ANSWER_MS = 10_000;

/** Conversations that break off at any byte: by FIN or RST, at once or a moment later. */
export class Cutter {
  readonly #o: CutterOptions;
  #n = 0;

  constructor(options: CutterOptions) {
    this.#o = options;
  }

  /** How many bytes the two conversations have, the one with its token in the header first. */
  async lengths(): Promise<readonly [number, number]> {
    const length = (phases: readonly Phase[]): number => phases.reduce((sum, { bytes }) => sum + bytes.length, 0);
    return [length(await this.#conversation(true)), length(await this.#conversation(false))];
  }

  /** One conversation up to byte `at` of it. */
  async cut(at: number, withHeader: boolean): Promise<void> {
    const { port, random, tally } = this.#o;
    const phases = await this.#conversation(withHeader);
    let answers = 0;
    const socket = RawSocket.dial({
      port,
      onFrame: () => answers++,
      onProblem: (text) => tally.problem(`a connection cut at byte ${at}: ${text}`),
      onEnd: () => undefined,
    });
    let left = at;
    let phase = "TCP connection";
    for (const { name, bytes } of phases) {
      if (left === 0) break;
      phase = left < bytes.length ? `amid ${name}` : `after ${name}`;
      const part = bytes.subarray(0, left);
      left -= part.length;
      socket.write(part);
      if (part.length < bytes.length) break;
      // Frames may be on their way before the last one was answered, but not before there is a WebSocket.
      const before = answers;
      if (!socket.isOpen) await until(() => socket.isOpen || socket.ended);
      else if (random.next() < 1 / 2) await until(() => answers > before || socket.ended);
    }
    tally.count(tally.cuts, phase);
    if (random.next() < 1 / 2) await delay(CUT_PAUSE_MS);
    if (random.next() < 1 / 2) socket.reset();
    else socket.finish();
  }

  /** The whole of it, byte by byte but for the request's first line, which uWebSockets wants in one piece (505 otherwise). */
  async drip(withHeader: boolean): Promise<void> {
    const { port, tally } = this.#o;
    let answers = 0;
    const socket = RawSocket.dial({
      port,
      onFrame: () => answers++,
      onProblem: (text) => tally.problem(`byte by byte: ${text}`),
      onEnd: () => undefined,
    });
    for (const { bytes } of await this.#conversation(withHeader)) {
      const first = socket.isOpen ? 0 : bytes.indexOf("\r\n") + 2;
      socket.write(bytes.subarray(0, first));
      for (const byte of bytes.subarray(first)) {
        socket.write(Uint8Array.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await until(() => socket.isOpen || socket.ended);
    }
    await until(() => socket.ended);
    // The pong and the Logout at least: what takes longer, such as SENT, may come to late.
    if (answers < 2 || !socket.ended) tally.problem(`byte by byte: ${answers} answers, ended: ${socket.ended}`);
    tally.count(tally.cuts, "byte by byte, up to its end");
    socket.reset();
  }

  async #conversation(withHeader: boolean): Promise<Phase[]> {
    const n = this.#n++ % ACCOUNTS;
    const eid = `cut-${n}@fuzz`;
    const token = await this.#o.token(eid, `d${n}`);
    const phase = (name: string, payload: Uint8Array): Phase => ({ name, bytes: frameOf(payload) });
    const to = { eid: `cut-${(n + 1) % ACCOUNTS}@fuzz` };
    const authenticate = create(TokenAuthoritySchema, { token, task: 4, type: 1 });
    return [
      { name: "the request", bytes: upgradeRequest(withHeader ? { token } : {}) },
      ...(withHeader ? [] : [phase("the token", encodeStanza("tokenAuthority", authenticate))]),
      phase("RESUME", encodeStanza("signal", create(SignalSchema, { type: 1, status: 6, monotonicId: -1n }))),
      phase("a message", encodeStanza("message", create(MessageSchema, { id: `cut ${this.#n}`, to, type: "text" }))),
      phase("a ping", encodeStanza("pingPong", create(PingPongSchema, { id: "cut", type: 1 }))),
      phase("the logout", encodeStanza("logout", create(LogoutSchema, { type: 2 }))),
    ];
  }
}

async function until(done: () => boolean): Promise<void> {
  const startedMs = performance.now();
  while (!done() && performance.now() - startedMs < ANSWER_MS) await delay(1);
}
