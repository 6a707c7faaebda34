import {
  decodeFrame,
  encodeStanza,
  type Message,
  MessageSchema,
  PingPongSchema,
  PingPongType,
  type Signal,
  SignalSchema,
  SignalStatus,
  SignalType,
  type Stanza,
  type StanzaKind,
  type StanzaValue,
} from "@bimip/protocol";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import WebSocket from "ws";
import { eventually } from "./eventually.js";

/** A device on a raw WebSocket: no SDK, nothing hidden. Keeps every stanza that came. */
export class Device {
  readonly received: Stanza[] = [];
  readonly socket: WebSocket;
  closed: { code: number; reason: string } | undefined;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.binaryType = "nodebuffer";
    socket.on("message", (data: Buffer) =>
      this.received.push(decodeFrame(new Uint8Array(data), { maxStanzaBytes: 1 << 24 }).stanza),
    );
    socket.on("close", (code, reason) => {
      this.closed = { code, reason: reason.toString() };
    });
    socket.on("error", () => undefined);
  }

  /** Opens the socket; with a token waits for RESUME's end, unless `settle` is false. */
  static async open(url: string, options: { token?: string; query?: string; settle?: boolean } = {}): Promise<Device> {
    const headers = options.token === undefined ? {} : { authorization: `Bearer ${options.token}` };
    const socket = new WebSocket(`${url}${options.query ?? ""}`, { headers });
    const device = new Device(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
      socket.once("unexpected-response", (_request, response) => {
        let body = "";
        response.on("data", (chunk: Buffer) => {
          body += chunk.toString();
        });
        response.on("end", () => reject(new HttpRefusal(response.statusCode ?? 0, body.trim())));
      });
    });
    if (options.token !== undefined && options.settle !== false) await device.resumed();
    return device;
  }

  /** Asks for what lies behind `index`; 0 = behind the stored cursor, -1 = everything retained. */
  resume(index: bigint, id = ""): void {
    const { REQUEST } = SignalType;
    this.send("signal", create(SignalSchema, { id, type: REQUEST, status: SignalStatus.RESUME, monotonicId: index }));
  }

  async resumed(): Promise<Signal> {
    return this.until("signal", (signal) => signal.status === SignalStatus.RESUME);
  }

  send<K extends StanzaKind>(kind: K, value: StanzaValue<K>): void {
    this.socket.send(encodeStanza(kind, value));
  }

  sendBytes(bytes: Uint8Array): void {
    this.socket.send(bytes);
  }

  message(init: MessageInitShape<typeof MessageSchema>): Message {
    const message = create(MessageSchema, init);
    this.send("message", message);
    return message;
  }

  /** Sends and waits for SENT of that id to that recipient. */
  async messageSent(init: MessageInitShape<typeof MessageSchema>): Promise<Signal> {
    const message = this.message(init);
    return this.sent(message.id, message.to?.eid ?? "");
  }

  async sent(id: string, to: string): Promise<Signal> {
    return this.until(
      "signal",
      (signal) => signal.status === SignalStatus.SENT && signal.id === id && signal.to?.eid === to,
    );
  }

  of<K extends StanzaKind>(kind: K): StanzaValue<K>[] {
    return this.received.filter((stanza) => stanza.kind === kind).map((stanza) => stanza.value as StanzaValue<K>);
  }

  async until<K extends StanzaKind>(
    kind: K,
    wanted: (value: StanzaValue<K>) => boolean = () => true,
  ): Promise<StanzaValue<K>> {
    const [value] = await eventually(`a ${kind}`, () => {
      const found = this.of(kind).filter(wanted);
      return found.length > 0 ? found : undefined;
    });
    return value as StanzaValue<K>;
  }

  async count<K extends StanzaKind>(kind: K, count: number): Promise<StanzaValue<K>[]> {
    return eventually(`${count} × ${kind}`, () => {
      const values = this.of(kind);
      return values.length >= count ? values : undefined;
    });
  }

  /** A ping and its pong: whatever the server sent before is here now. */
  async settle(id = `settle-${Math.random()}`): Promise<void> {
    this.send("pingPong", create(PingPongSchema, { id, type: PingPongType.PING }));
    await this.until("pingPong", (pong) => pong.id === id);
  }

  async closing(): Promise<{ code: number; reason: string }> {
    return eventually("the socket's close", () => this.closed);
  }

  async close(): Promise<void> {
    this.socket.close();
    await this.closing();
  }
}

/** The upgrade was answered with an HTTP status. */
export class HttpRefusal extends Error {
  readonly status: number;
  constructor(status: number, body: string) {
    super(`${status}: ${body}`);
    this.status = status;
  }
}
