import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { encodeStanza, MessageSchema } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";

const CLOSE = 0x8;

/** A device that goes on sending after it was told to close, for as long as its TCP connection takes bytes. */
export class StubbornDevice {
  readonly #socket: Socket;
  readonly #prefix: string;
  #sent = 0;
  #toldToClose: { readonly code: number; readonly sent: number } | undefined;

  private constructor(socket: Socket, prefix: string) {
    this.#socket = socket;
    this.#prefix = prefix;
  }

  /** @param prefix of the ids of its messages: `<prefix>-<number>`, from 1 on */
  static async open(url: string, token: string, prefix: string): Promise<StubbornDevice> {
    const { hostname, port, pathname } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true, allowHalfOpen: true });
    const device = new StubbornDevice(socket, prefix);
    socket.on("error", () => undefined);
    socket.write(
      `GET ${pathname} HTTP/1.1\r\nHost: ${hostname}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}\r\nSec-WebSocket-Version: 13\r\n` +
        `Authorization: Bearer ${token}\r\n\r\n`,
    );
    await new Promise<void>((resolve, reject) => {
      let rest: Buffer = Buffer.alloc(0);
      let isOpen = false;
      socket.once("close", () => reject(new Error("closed at the upgrade")));
      socket.on("data", (chunk: Buffer) => {
        rest = Buffer.concat([rest, chunk]);
        const end = rest.indexOf("\r\n\r\n");
        if (!isOpen && end >= 0) {
          isOpen = true;
          rest = rest.subarray(end + 4);
          resolve();
        }
        if (isOpen) rest = device.#readFrames(rest);
      });
    });
    return device;
  }

  /** The code of the close frame; undefined: none came. */
  get closeCode(): number | undefined {
    return this.#toldToClose?.code;
  }

  /** How many messages it had sent when the close frame came. */
  get sentBeforeClose(): number {
    return this.#toldToClose?.sent ?? this.#sent;
  }

  get sent(): number {
    return this.#sent;
  }

  send(to: string): void {
    if (this.#socket.destroyed) return;
    const message = create(MessageSchema, { id: `${this.#prefix}-${++this.#sent}`, to: { eid: to } });
    this.#frame(encodeStanza("message", message));
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #frame(payload: Uint8Array): void {
    const head =
      payload.length < 126 ? [0x82, 0x80 | payload.length] : [0x82, 0xfe, payload.length >> 8, payload.length];
    // The masking key is zero.
    this.#socket.write(Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), payload]));
  }

  /** Answers with what is no whole frame yet. */
  #readFrames(bytes: Buffer): Buffer {
    let at = 0;
    while (bytes.length - at >= 2) {
      const short = (bytes[at + 1] as number) & 0x7f;
      const head = short === 126 ? 4 : short === 127 ? 10 : 2;
      if (bytes.length - at < head) break;
      const length =
        short === 126 ? bytes.readUInt16BE(at + 2) : short === 127 ? Number(bytes.readBigUInt64BE(at + 2)) : short;
      if (bytes.length - at < head + length) break;
      const isClose = ((bytes[at] as number) & 0x0f) === CLOSE;
      if (isClose) this.#toldToClose ??= { code: bytes.readUInt16BE(at + head), sent: this.#sent };
      at += head + length;
    }
    return bytes.subarray(at);
  }
}
