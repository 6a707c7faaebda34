import {
  type Awareness,
  type AwarenessContact,
  AwarenessContactSchema,
  AwarenessSchema,
  AwarenessVisibilitySchema,
  ContactAction,
  decodeFrame,
  encodeStanza,
  type ErrorMessage,
  LocationStreamSchema,
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
import { Picture } from "./picture.js";

/** A device on a raw WebSocket: no SDK, nothing hidden. Keeps every stanza that came. */
export class Device {
  readonly received: Stanza[] = [];
  /** What it knows of the presence of others. */
  readonly picture = new Picture();
  readonly socket: WebSocket;
  /** Of its token; "" without one. */
  readonly eid: string;
  closed: { code: number; reason: string } | undefined;
  #ids = 0;

  private constructor(socket: WebSocket, eid: string) {
    this.socket = socket;
    this.eid = eid;
    socket.binaryType = "nodebuffer";
    socket.on("message", (data: Buffer) => {
      const { stanza } = decodeFrame(new Uint8Array(data), { maxStanzaBytes: 1 << 24 });
      this.received.push(stanza);
      this.picture.take(stanza);
    });
    socket.on("close", (code, reason) => {
      this.closed = { code, reason: reason.toString() };
    });
    socket.on("error", () => undefined);
  }

  /** Opens the socket; with a token waits for RESUME's end, unless `settle` is false. With wss `ca` is who is trusted, PEM. */
  static async open(
    url: string,
    options: { token?: string; query?: string; settle?: boolean; ca?: string } = {},
  ): Promise<Device> {
    const headers = options.token === undefined ? {} : { authorization: `Bearer ${options.token}` };
    const { ca } = options;
    const socket = new WebSocket(`${url}${options.query ?? ""}`, { headers, ...(ca !== undefined && { ca }) });
    const device = new Device(socket, options.token === undefined ? "" : eidOf(options.token));
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

  /** Sends an Awareness, type 1 where none is given; its id. */
  awareness(init: MessageInitShape<typeof AwarenessSchema>): string {
    const awareness = create(AwarenessSchema, { id: this.#newId("awareness"), type: 1, ...init });
    this.send("awareness", awareness);
    return awareness.id;
  }

  /** Sends an AwarenessContact; its tracking_id. */
  contact(init: MessageInitShape<typeof AwarenessContactSchema>): string {
    const contact = create(AwarenessContactSchema, { trackingId: this.#newId("contact"), ...init });
    this.send("awarenessContact", contact);
    return contact.trackingId;
  }

  /** Sends an AwarenessContact and waits for what its author is told of it. @throws Error when it is refused. */
  async contactDone(init: MessageInitShape<typeof AwarenessContactSchema>): Promise<AwarenessContact> {
    const id = this.contact(init);
    const answer = await eventually(
      () => `an answer to contact ${id}`,
      () =>
        this.of("error").find((error) => error.id === id) ??
        this.of("awarenessContact").find(
          // What the other had agreed to before is the other's word.
          ({ trackingId, from, action }) =>
            trackingId === id && (from?.eid === this.eid || action === ContactAction.ACCEPT),
        ),
    );
    if (answer.$typeName === "bimip.ErrorMessage") throw new Error(`${answer.code}: ${answer.details}`);
    return answer;
  }

  /** Sends an AwarenessVisibility; its id. */
  visibility(type: number, id = this.#newId("visibility")): string {
    this.send("awarenessVisibility", create(AwarenessVisibilitySchema, { id, type }));
    return id;
  }

  /** Sends an AwarenessVisibility and waits for its confirmation. */
  async visibilityDone(type: number): Promise<void> {
    const id = this.visibility(type);
    await this.until("awarenessVisibility", (confirmed) => confirmed.id === id);
  }

  /** Sends a LocationStream; its id. */
  location(init: MessageInitShape<typeof LocationStreamSchema>): string {
    const location = create(LocationStreamSchema, { id: this.#newId("location"), ...init });
    this.send("locationStream", location);
    return location.id;
  }

  /** The last status (type 1) that this device was told of that user; undefined: not visible, as far as it knows. */
  presenceOf(eid: string): number | undefined {
    return this.picture.of(eid)?.status;
  }

  async sees(eid: string, status: number, withinMs?: number): Promise<void> {
    await eventually(
      () => `${this.eid} sees ${eid} as ${status}; it sees ${this.presenceOf(eid)}`,
      () => this.presenceOf(eid) === status,
      withinMs,
    );
  }

  /** Alone, or in a Body with others that came in the same moment. */
  async untilAwareness(wanted: (awareness: Awareness) => boolean): Promise<Awareness> {
    const { told, directed } = this.picture;
    return eventually("an awareness", () => told.find(wanted) ?? directed.find(wanted));
  }

  /** The first snapshot of the others' presence is here. */
  async pictured(): Promise<void> {
    await eventually("a snapshot", () => this.picture.snapshots > 0);
  }

  /** The error that answers the stanza of this id. */
  async refusal(id: string): Promise<ErrorMessage> {
    return this.until("error", (error) => error.id === id);
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

  #newId(kind: string): string {
    return `${kind}-${++this.#ids}-${Math.random()}`;
  }

  async closing(): Promise<{ code: number; reason: string }> {
    return eventually("the socket's close", () => this.closed);
  }

  async close(): Promise<void> {
    this.socket.close();
    await this.closing();
  }
}

/** Whose a token is, "" if it is none: it is for the server to say so. */
function eidOf(token: string): string {
  try {
    const payload = Buffer.from(token.split(".")[1] ?? "", "base64url").toString();
    const { eid, sub } = JSON.parse(payload) as { eid?: string; sub?: string };
    return eid ?? sub ?? "";
  } catch {
    return "";
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
