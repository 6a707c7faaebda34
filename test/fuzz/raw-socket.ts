import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import type { Random } from "../chaos/random.js";

/** How a connection ended, as the client saw it. */
export interface RawEnd {
  /** Of the server's close frame; undefined: none came. */
  readonly code: number | undefined;
  readonly reason: string;
  /** HTTP status, where the upgrade was refused. */
  readonly status: number | undefined;
}

export interface RawOptions {
  readonly port: number;
  /** None: the first frame must bring one. */
  readonly token?: string | undefined;
  readonly query?: string;
  /** More lines of the request, each with its CRLF. */
  readonly headers?: string;
  /** The upgrade was answered: from here on the client may send frames. */
  readonly onOpen?: () => void;
  /** Payload of each binary frame. */
  readonly onFrame: (payload: Buffer) => void;
  /** The server broke a rule of WebSockets or of the protocol. */
  readonly onProblem: (text: string) => void;
  readonly onEnd: (end: RawEnd) => void;
}

export interface FrameForm {
  readonly opcode?: number;
  readonly fin?: boolean;
  /** RSV1, RSV2, RSV3 as the bits 4, 2, 1. */
  readonly reserved?: number;
  readonly masked?: boolean;
  /** 16 or 64 bits although fewer would do. */
  readonly lengthBits?: 7 | 16 | 64;
  /** What the length says instead of the truth. */
  readonly claimed?: bigint;
}

const CONTINUATION = 0;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const MAX_CONTROL_BYTES = 125;
const STRICT = new TextDecoder("utf-8", { fatal: true });

/** A WebSocket client that can send what no library would, and looks closely at what the server sends. */
export class RawSocket {
  readonly #socket: Socket;
  readonly #o: RawOptions;
  #rest: Buffer = Buffer.alloc(0);
  #open = false;
  #ended = false;
  #code: number | undefined;
  #reason = "";
  #status: number | undefined;

  private constructor(options: RawOptions) {
    this.#o = options;
    this.#socket = connect({ host: "127.0.0.1", port: options.port, noDelay: true });
    this.#socket.on("error", () => undefined);
    this.#socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    this.#socket.once("close", () => {
      this.#ended = true;
      options.onEnd({ code: this.#code, reason: this.#reason, status: this.#status });
    });
  }

  /** Only a TCP connection so far: nothing is sent. */
  static dial(options: RawOptions): RawSocket {
    return new RawSocket(options);
  }

  /** With the upgrade request sent; its answer may come later. */
  static open(options: RawOptions): RawSocket {
    const raw = new RawSocket(options);
    raw.write(upgradeRequest(options));
    return raw;
  }

  /** It is a WebSocket. */
  get isOpen(): boolean {
    return this.#open;
  }

  get ended(): boolean {
    return this.#ended;
  }

  write(bytes: Uint8Array): void {
    if (!this.#ended) this.#socket.write(bytes);
  }

  send(payload: Uint8Array, form: FrameForm = {}): void {
    this.write(frameOf(payload, form));
  }

  /** FIN. */
  finish(): void {
    this.#socket.end();
    // Half open from here: the server's side may be slow.
    this.#socket.destroySoon();
  }

  /** RST. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  #onData(chunk: Buffer): void {
    let data = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    if (!this.#open) {
      const end = data.indexOf("\r\n\r\n");
      if (end < 0) {
        this.#rest = data;
        return;
      }
      if (!this.#upgraded(data.subarray(0, end).toString("latin1"))) return void this.#socket.destroy();
      data = data.subarray(end + 4);
      this.#o.onOpen?.();
    }
    let at = 0;
    for (;;) {
      const next = this.#frameAt(data, at);
      if (next === undefined) break;
      at = next;
    }
    this.#rest = data.subarray(at);
  }

  #upgraded(head: string): boolean {
    this.#status = Number(head.slice(9, 12));
    if (this.#status !== 101) return false;
    this.#status = undefined;
    this.#open = true;
    if (/sec-websocket-extensions/i.test(head)) this.#o.onProblem(`the server takes an extension: ${head}`);
    return true;
  }

  /** Where the next frame begins, or undefined: this one is not here as a whole. */
  #frameAt(data: Buffer, at: number): number | undefined {
    if (data.length - at < 2) return undefined;
    const [first, second] = [data[at] as number, data[at + 1] as number];
    let length = second & 0x7f;
    let head = 2;
    if (length === 126) {
      if (data.length - at < 4) return undefined;
      length = data.readUInt16BE(at + 2);
      head = 4;
    } else if (length === 127) {
      if (data.length - at < 10) return undefined;
      length = Number(data.readBigUInt64BE(at + 2));
      head = 10;
    }
    if ((first & 0xf0) !== 0x80 || second >= 0x80) this.#o.onProblem(`a frame begins with ${first} ${second}`);
    if (data.length - at < head + length) return undefined;
    this.#onFrame(first & 0x0f, data.subarray(at + head, at + head + length));
    return at + head + length;
  }

  #onFrame(opcode: number, payload: Buffer): void {
    if (opcode >= CLOSE && payload.length > MAX_CONTROL_BYTES)
      this.#o.onProblem(`a control frame of ${payload.length} bytes`);
    if (opcode === BINARY) return this.#o.onFrame(payload);
    if (opcode === PING) return this.send(payload, { opcode: PONG });
    if (opcode === PONG) return;
    if (opcode === CLOSE) return this.#onClose(payload);
    this.#o.onProblem(`a frame of opcode ${opcode}`);
  }

  #onClose(payload: Buffer): void {
    if (payload.length >= 2) this.#code = payload.readUInt16BE(0);
    try {
      this.#reason = STRICT.decode(payload.subarray(2));
    } catch {
      this.#o.onProblem(`the reason of a close with ${this.#code} is no UTF-8: ${payload.toString("hex")}`);
    }
  }
}

/** The request that begins a WebSocket. */
export function upgradeRequest({
  token,
  query = "",
  headers = "",
}: Pick<RawOptions, "token" | "query" | "headers">): Buffer {
  return Buffer.from(
    `GET /v1/ws${query} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}\r\nSec-WebSocket-Version: 13\r\n` +
      `${token === undefined ? "" : `Authorization: Bearer ${token}\r\n`}${headers}\r\n`,
  );
}

/** One WebSocket frame as a client sends it, right or wrong. */
export function frameOf(payload: Uint8Array, form: FrameForm = {}): Buffer {
  const { opcode = BINARY, fin = true, reserved = 0, masked = true, claimed } = form;
  const bits = form.lengthBits ?? (payload.length < 126 ? 7 : payload.length < 65_536 ? 16 : 64);
  const lengthBytes = bits === 7 ? 0 : bits / 8;
  const head = 2 + lengthBytes + (masked ? 4 : 0);
  const frame = Buffer.alloc(head + payload.length);
  frame[0] = (fin ? 0x80 : 0) | (reserved << 4) | opcode;
  const length = claimed ?? BigInt(payload.length);
  frame[1] = (masked ? 0x80 : 0) | (bits === 7 ? Number(length & 0x7fn) : bits === 16 ? 126 : 127);
  if (bits === 16) frame.writeUInt16BE(Number(length & 0xffffn), 2);
  if (bits === 64) frame.writeBigUInt64BE(length, 2);
  frame.set(payload, head);
  return frame;
}

/** The payload in several frames, pings in between where `random` says so. */
export function fragments(payload: Uint8Array, random: Random): Buffer {
  const parts: Buffer[] = [];
  const count = random.whole(2, 6);
  for (let n = 0; n < count; n++) {
    const slice = payload.subarray(
      Math.floor((payload.length * n) / count),
      Math.floor((payload.length * (n + 1)) / count),
    );
    parts.push(frameOf(slice, { opcode: n === 0 ? BINARY : CONTINUATION, fin: n === count - 1 }));
    if (random.next() < 1 / 3) parts.push(frameOf(Buffer.from("?"), { opcode: PING }));
  }
  return Buffer.concat(parts);
}
