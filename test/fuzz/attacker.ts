import { setTimeout as delay } from "node:timers/promises";
import { CloseCode, decodeFrame, encodeStanza, ErrorCode, PingPongSchema, type Stanza } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import type { Random } from "../chaos/random.js";
import { bomb, BOMB_NAMES } from "./bombs.js";
import { type CorpusNames, validFrame } from "./corpus.js";
import { mutate } from "./mutations.js";
import { RawSocket } from "./raw-socket.js";
import { HARMLESS, VIOLATIONS } from "./transport-oddities.js";
import type { Tally } from "./tally.js";

export interface AttackerOptions {
  readonly port: number;
  readonly names: CorpusNames;
  readonly random: Random;
  readonly tally: Tally;
  /** A new one each time that it connects. */
  readonly token: () => Promise<string>;
  /** Resolves when so many more frames may be sent. */
  readonly pace: (frames: number) => Promise<void>;
}

/** Sent at once; then it waits until all of it was answered. */
const BATCH = 8;
/** Shares of what is sent; the rest are mutated stanzas. */
const SHARE = { violation: 0.002, oddity: 0.03, bomb: 0.005, valid: 0.02 } as const;
const ANSWER_MS = 30_000;
/** A connection that broke a rule may be ended, or wait for the rest of a frame. */
const VIOLATION_MS = 100;
const RETRY_MS = 200;
/** After the logout of an account its tokens of that second are refused. */
const REFUSED_MS = 1_100;
const MAX_REFUSALS = 60;
const REMEMBERED = 40;

const oddities = Object.keys(HARMLESS);
const violations = Object.keys(VIOLATIONS);

/** A client with a good token and bad manners: sends what it likes, pipelined, and comes back each time that it is thrown out. */
export class Attacker {
  sent = 0;
  readonly #o: AttackerOptions;
  /** What was sent last, for the report of a crash. */
  readonly #last: Uint8Array[] = [];
  #socket: RawSocket | undefined;
  #asked = 0;
  #answered = 0;
  #wake = (): void => undefined;

  constructor(options: AttackerOptions) {
    this.#o = options;
  }

  /** Sends until so many frames have been sent in all; it is connected and every answer is here then. */
  async run(upTo: number): Promise<void> {
    while (this.sent < upTo) {
      await this.#connect();
      await this.#o.pace(BATCH);
      let broken = false;
      for (let n = 0; n < BATCH && this.sent < upTo && !broken; n++) broken = this.#sendOne();
      if (broken) await this.#untilEnded(VIOLATION_MS);
      else await this.#settled();
    }
    await this.#connect();
    await this.#settled();
  }

  /** Hex of what it sent last, the newest at the end. */
  get last(): string[] {
    return this.#last.map((frame) => Buffer.from(frame).toString("hex"));
  }

  close(): void {
    this.#socket?.reset();
  }

  /** True: the connection cannot go on. */
  #sendOne(): boolean {
    const { random, names, tally } = this.#o;
    const roll = random.next();
    const frame = this.#frame(roll);
    this.sent++;
    tally.frames++;
    this.#last.push(frame.subarray(0, 2_000));
    if (this.#last.length > REMEMBERED) this.#last.shift();
    const kind = random.next();
    if (kind < SHARE.violation) {
      const name = random.pick(violations);
      tally.count(tally.oddities, name);
      this.#socket?.write(VIOLATIONS[name]?.(frame, random) ?? frame);
      if (random.next() < 1 / 2) this.#socket?.reset();
      return true;
    }
    if (kind < SHARE.violation + SHARE.oddity) {
      const name = random.pick(oddities);
      tally.count(tally.oddities, name);
      const valid = name === "a text frame" ? frame : validFrame(names, random);
      this.#socket?.write(HARMLESS[name]?.(valid, random) ?? frame);
    } else this.#socket?.send(frame);
    return false;
  }

  #frame(roll: number): Uint8Array {
    const { random, names } = this.#o;
    if (roll < SHARE.bomb) return bomb(random.pick(BOMB_NAMES));
    const valid = validFrame(names, random);
    return roll < SHARE.bomb + SHARE.valid ? valid : mutate(valid, random);
  }

  async #connect(): Promise<void> {
    const { port, tally, token } = this.#o;
    for (let refusals = 0; this.#socket === undefined || this.#socket.ended; refusals++) {
      if (refusals > MAX_REFUSALS) throw new Error(`${this.#o.names.eid} is not let in any more`);
      if (refusals > 0) await delay(refusals > 3 ? REFUSED_MS : RETRY_MS);
      tally.connects++;
      this.#answered = this.#asked;
      this.#socket = RawSocket.open({
        port,
        token: await token(),
        onOpen: () => this.#wake(),
        onFrame: (payload) => this.#onFrame(payload),
        onProblem: (text) => tally.problem(`${this.#o.names.eid}: ${text}`),
        onEnd: ({ code, status }) => {
          tally.count(tally.ends, status === undefined ? `close ${code ?? "without a frame"}` : `HTTP ${status}`);
          this.#wake();
        },
      });
      const socket = this.#socket;
      await this.#until(() => socket.isOpen || socket.ended, "no answer to the upgrade");
      if (!socket.ended) await this.#settled();
    }
  }

  /** A ping, and its pong: whatever was sent before has been answered. Or the connection has ended. */
  async #settled(): Promise<void> {
    const id = `asked ${++this.#asked}`;
    this.#socket?.send(encodeStanza("pingPong", create(PingPongSchema, { id, type: 1 })));
    await this.#until(() => this.#answered >= this.#asked || this.#socket?.ended === true, "no answer to a ping");
  }

  async #untilEnded(withinMs: number): Promise<void> {
    const startedMs = performance.now();
    while (this.#socket?.ended === false && performance.now() - startedMs < withinMs) await this.#woken(withinMs);
    if (this.#socket?.ended === false) this.#socket.reset();
    await this.#until(() => this.#socket?.ended === true, "a socket that does not close");
  }

  /** Waits for what should come soon; where it does not, that is a problem, and the connection is given up. */
  async #until(done: () => boolean, otherwise: string): Promise<void> {
    const startedMs = performance.now();
    while (!done()) {
      await this.#woken(ANSWER_MS);
      if (done() || performance.now() - startedMs < ANSWER_MS) continue;
      const { tally, names } = this.#o;
      tally.problem(`${names.eid}: ${otherwise} within ${ANSWER_MS} ms, after ${this.sent} frames`);
      this.#socket?.reset();
      return;
    }
  }

  async #woken(withinMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const late = setTimeout(resolve, withinMs);
      this.#wake = () => {
        clearTimeout(late);
        resolve();
      };
    });
  }

  #onFrame(payload: Buffer): void {
    const { tally, names } = this.#o;
    let stanza: Stanza;
    try {
      ({ stanza } = decodeFrame(payload, { maxStanzaBytes: 1 << 24 }));
    } catch (error) {
      tally.problem(
        `${names.eid} got what does not decode (${String(error)}): ${payload.toString("hex").slice(0, 2_000)}`,
      );
      return;
    }
    tally.received++;
    const id = stanza.kind === "error" || stanza.kind === "pingPong" ? stanza.value.id : "";
    if (id.startsWith("asked ")) {
      this.#answered = Math.max(this.#answered, Number(id.slice(6)));
      this.#wake();
    }
    if (stanza.kind !== "error") return;
    const { code, details } = stanza.value;
    tally.count(tally.errors, String(code));
    if (code === ErrorCode.INTERNAL) tally.problem(`${names.eid} got a 500: ${details}`);
    if (code === CloseCode.NORMAL) tally.problem(`${names.eid} got ${code} as an error's code`);
  }
}
