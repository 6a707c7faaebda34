import {
  decodeFrame,
  encodeStanza,
  LogoutType,
  PingPongSchema,
  PingPongType,
  type Signal,
  SignalSchema,
  SignalStatus,
  SignalType,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { LiteSocket } from "../bench/ws-lite.js";
import type { Begin, Stretch } from "./race-judge.js";
import { nowMs } from "./stored-log.js";

export interface RaceConnectOptions {
  readonly port: number;
  readonly token: string;
  readonly localAddress: string;
  readonly begin: Begin;
  /** Ask with RESUME for this; absent: the server begins by itself. */
  readonly ask?: bigint;
}

const ANSWER_MS = 20_000;
const MAX_FRAME_BYTES = 1 << 20;

/** One connection of a device that writes down what came. */
export class RaceConnection {
  readonly stretches: Stretch[];
  /** What must not come: errors, answers that speak of a loss. */
  readonly complaints: string[] = [];
  /** The device's connection before this one was registered after it, and so counts as the newer: connect again. */
  replaced = false;
  readonly #options: RaceConnectOptions;
  #socket: LiteSocket | undefined;
  /** A second RESUME was asked for; its stretch begins with the first index that goes back, or with its answer. */
  #next: Stretch | undefined;
  /** How many entries had come when the second RESUME was asked for. */
  #countAtAsking = 0;
  #pings = 0;
  /** Of the stanzas that came, but messages. */
  readonly #kinds: string[] = [];
  #waiting: { wanted: string; settle: (problem?: string) => void } | undefined;

  constructor(options: RaceConnectOptions) {
    this.#options = options;
    this.stretches = [{ begin: options.begin, startedAtMs: nowMs(), indexes: [], ids: [] }];
  }

  get #stretch(): Stretch {
    return this.stretches.at(-1) as Stretch;
  }

  get port(): number {
    return this.#options.port;
  }

  /** Highest index that came. */
  get last(): number {
    return Math.max(0, ...this.stretches.map(({ indexes }) => indexes.at(-1) ?? 0));
  }

  async open(): Promise<void> {
    const { port, token, localAddress, ask } = this.#options;
    const query = ask === undefined ? "" : "?resume=manual";
    const onFrame = (frame: Buffer): void => this.#onFrame(frame);
    const onLost = (reason: string): void => this.#onLost(reason);
    this.#socket = await LiteSocket.open(port, token, { query, localAddress, onFrame, onLost });
    if (ask !== undefined) this.#resume(ask, "resume-0");
  }

  /** Resolves with RESUME's answer. */
  async resumed(): Promise<void> {
    if (this.#stretch.resumed === undefined) await this.#until("resume");
  }

  /** RESUME in the live session. */
  async again(after: number): Promise<void> {
    this.#next = { begin: { after }, startedAtMs: nowMs(), indexes: [], ids: [] };
    this.#countAtAsking = this.#stretch.indexes.length;
    this.#resume(BigInt(after), "resume-1");
    await this.#until("resume");
  }

  /** Acknowledges up to `index`; resolves when the gateway has it. */
  async acknowledge(index: number): Promise<void> {
    const receipt = { type: SignalType.REQUEST, status: SignalStatus.DELIVERED, monotonicId: BigInt(index) };
    this.#socket?.send(encodeStanza("signal", create(SignalSchema, receipt)));
    const id = `ping-${++this.#pings}`;
    this.#socket?.send(encodeStanza("pingPong", create(PingPongSchema, { id, type: PingPongType.PING })));
    await this.#until(id);
  }

  close(): void {
    this.#socket?.close();
  }

  #resume(after: bigint, id: string): void {
    const ask = { id, type: SignalType.REQUEST, status: SignalStatus.RESUME, monotonicId: after };
    this.#socket?.send(encodeStanza("signal", create(SignalSchema, ask)));
  }

  async #until(wanted: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const settle = (problem?: string): void => {
        clearTimeout(timer);
        this.#waiting = undefined;
        if (problem === undefined) resolve();
        else reject(new Error(`${problem}, ${wanted} did not come; came: ${this.#kinds.join(" ")}`));
      };
      const timer = setTimeout(() => settle(`waited for ${ANSWER_MS} ms`), ANSWER_MS);
      this.#waiting = { wanted, settle };
    });
  }

  #came(what: string): void {
    if (this.#waiting?.wanted === what) this.#waiting.settle();
  }

  #onLost(reason: string): void {
    if (!this.replaced)
      this.complaints.push(`the server closed the connection (${reason}); came: ${this.#kinds.join(" ")}`);
    this.#waiting?.settle("the connection is gone");
  }

  #onFrame(bytes: Buffer): void {
    const { kind, value } = decodeFrame(bytes, { maxStanzaBytes: MAX_FRAME_BYTES }).stanza;
    if (kind !== "message") this.#kinds.push(kind);
    if (kind === "message") this.#onEntry(value.id, Number(value.monotonicId), Number(value.previousId));
    else if (kind === "signal" && value.status === SignalStatus.RESUME) this.#onResume(value);
    else if (kind === "pingPong") this.#came(value.id);
    else if (kind === "logout" && value.type === LogoutType.SESSION) this.replaced = true;
    else if (kind === "body" && value.awarenessList.length === 0)
      return; // the snapshot of who has no contacts
    else this.complaints.push(`${kind}: ${JSON.stringify(value, big)}`);
  }

  #onEntry(id: string, index: number, previous: number): void {
    if (this.#next !== undefined && index <= (this.#stretch.indexes.at(-1) ?? 0)) this.#begin(this.#next);
    const stretch = this.#stretch;
    stretch.firstPrevious ??= previous;
    stretch.indexes.push(index);
    stretch.ids.push(id);
  }

  #onResume({ id, type, monotonicId, details }: Signal): void {
    const own = this.#options.ask === undefined && id === "";
    if (!own && id !== "resume-0" && id !== "resume-1") return;
    if (type !== SignalType.RESPONSE || details !== "") this.complaints.push(`RESUME type ${type}: ${details}`);
    if (id === "resume-1" && this.#next !== undefined) this.#beginWithRest(this.#next);
    this.#stretch.resumed ??= { atMs: nowMs(), index: Number(monotonicId) };
    this.#came("resume");
  }

  /** Nothing went back, since RESUME asked for the very position: what came after the asking is its replay. */
  #beginWithRest(next: Stretch): void {
    const { indexes, ids } = this.#stretch;
    const from = this.#countAtAsking;
    next.indexes.push(...indexes.splice(from));
    next.ids.push(...ids.splice(from));
    this.#begin(next);
  }

  #begin(next: Stretch): void {
    this.stretches.push(next);
    this.#next = undefined;
  }
}

function big(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
