import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";

/** Frames received so far are given in order; the bytes are valid during the call only. */
export type OnFrame = (frame: Buffer) => void;

export interface LiteOptions {
  /** Such as `?resume=manual`. */
  readonly query?: string;
  /** Several source addresses: one has some 28,000 ports, less what waits in TIME_WAIT. */
  readonly localAddress?: string;
  /** Given here it misses nothing; set later it may miss what came with the upgrade. */
  readonly onFrame?: OnFrame;
  /** The connection is gone, and not by `close`; what was heard of the reason. */
  readonly onLost?: (reason: string) => void;
}

/** A WebSocket client for load: binary frames, no checks, a fraction of a full client's CPU. */
export class LiteSocket {
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);
  #open = false;
  #batch: Buffer[] = [];
  onFrame: OnFrame = () => undefined;
  #closed = false;
  #endReason = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  static async open(port: number, token: string, options: LiteOptions = {}): Promise<LiteSocket> {
    const { query = "", localAddress = "127.0.0.1", onFrame, onLost } = options;
    const socket = connect({ host: "127.0.0.1", port, localAddress, noDelay: true });
    const lite = new LiteSocket(socket);
    if (onFrame) lite.onFrame = onFrame;
    return new Promise((resolve, reject) => {
      socket.on("error", (error) => {
        lite.#endReason ||= error.message;
        reject(error);
      });
      socket.once("close", () => {
        if (lite.#open && !lite.#closed) onLost?.(lite.#endReason || "no close frame");
        lite.#closed = true;
        reject(new Error("closed at the upgrade"));
      });
      socket.on("data", (chunk: Buffer) => lite.#onData(chunk, () => resolve(lite)));
      socket.write(
        `GET /v1/ws${query} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
          `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}\r\nSec-WebSocket-Version: 13\r\n` +
          `Authorization: Bearer ${token}\r\n\r\n`,
      );
    });
  }

  /** Sends at the end of this turn of the event loop, with whatever else was sent in it. */
  send(payload: Uint8Array): void {
    if (this.#batch.length === 0) setImmediate(() => this.#flush());
    const small = payload.length < 126;
    const frame = Buffer.alloc((small ? 6 : 8) + payload.length);
    frame[0] = 0x82;
    frame[1] = 0x80 | (small ? payload.length : 126);
    if (!small) frame.writeUInt16BE(payload.length, 2);
    // the masking key stays zero: masking is the client's protection against proxies, of which there are none here
    frame.set(payload, small ? 6 : 8);
    this.#batch.push(frame);
  }

  /** Stops reading: what comes fills the kernel's buffers, then the server's. */
  pause(): void {
    this.#socket.pause();
  }

  /** Reads on. */
  resume(): void {
    this.#socket.resume();
  }

  /** The connection is gone, whoever ended it. */
  get closed(): boolean {
    return this.#closed;
  }

  close(): void {
    this.#closed = true;
    this.#socket.destroy();
  }

  #flush(): void {
    if (this.#closed) return;
    const batch = this.#batch;
    this.#batch = [];
    this.#socket.write(batch.length === 1 ? (batch[0] as Buffer) : Buffer.concat(batch));
  }

  #onData(chunk: Buffer, opened: () => void): void {
    let data = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    if (!this.#open) {
      const end = data.indexOf("\r\n\r\n");
      if (end < 0) {
        this.#rest = data;
        return;
      }
      // Refused, such as 503: the connection would stay, but it is of no use.
      if (!data.subarray(0, 12).toString().endsWith("101")) return void this.#socket.destroy();
      this.#open = true;
      data = data.subarray(end + 4);
      opened();
    }
    let at = 0;
    while (data.length - at >= 2) {
      if (this.#closed) return;
      const opcode = (data[at] as number) & 0x0f;
      let length = (data[at + 1] as number) & 0x7f;
      let head = 2;
      if (length === 126) {
        if (data.length - at < 4) break;
        length = data.readUInt16BE(at + 2);
        head = 4;
      } else if (length === 127) {
        if (data.length - at < 10) break;
        length = Number(data.readBigUInt64BE(at + 2));
        head = 10;
      }
      if (data.length - at < head + length) break;
      const payload = data.subarray(at + head, at + head + length);
      if (opcode === 2) this.onFrame(payload);
      else if (opcode === 8)
        this.#endReason = length < 2 ? "no code" : `${payload.readUInt16BE(0)} ${payload.toString("utf8", 2)}`;
      else if (opcode === 9)
        this.#socket.write(Buffer.concat([Buffer.from([0x8a, 0x80 | length, 0, 0, 0, 0]), payload]));
      at += head + length;
    }
    this.#rest = data.subarray(at);
  }
}
