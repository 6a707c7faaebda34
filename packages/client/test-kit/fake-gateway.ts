import {
  decodeFrame,
  encodeSent,
  encodeStanza,
  ErrorMessageSchema,
  IdentitySchema,
  type Message,
  MessageSchema,
  PingPongSchema,
  PingPongType,
  SignalSchema,
  SignalStatus,
  SignalType,
  type Stanza,
  TokenAuthoritySchema,
  TokenTask,
  TokenType,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { type WebSocket, WebSocketServer } from "ws";

/** One authenticated connection at the fake. */
export interface FakeSession {
  readonly eid: string;
  readonly device: string;
  readonly resume: string | null;
  readonly socket: WebSocket;
  live: boolean;
}

interface Entry {
  readonly index: number;
  readonly message: Message;
}

/** What becomes of a message: stored and confirmed, stored but unconfirmed, ignored, or refused with a code. */
export type Fate = "store" | "storeSilently" | "ignore" | number;

/**
 * A gateway in this process that keeps logs in memory and speaks the protocol over real sockets. Tokens are
 * `eid/device`; any token that begins with `bad` is refused. It shows what the SDK does; that a real gateway does the
 * same is for the e2e tests.
 */
export class FakeGateway {
  readonly #server: WebSocketServer;
  readonly #logs = new Map<string, Entry[]>();
  readonly #stored = new Map<string, { monotonicId: number; logId: number }>();
  #sequence = 0;
  readonly sessions = new Set<FakeSession>();
  /** Every Message that came, in order. */
  readonly received: Message[] = [];
  /** Tokens of the connections that asked to be let in. */
  readonly tokens: string[] = [];
  /** `resume` of the URL, and of each RESUME the index. */
  readonly resumes: (string | null | bigint)[] = [];
  fate: (message: Message) => Fate = () => "store";
  answersPings = true;
  answersResume = true;

  private constructor(server: WebSocketServer) {
    this.#server = server;
    server.on("connection", (socket, request) => {
      const url = new URL(request.url ?? "/", "ws://fake");
      const header = request.headers.authorization?.replace("Bearer ", "");
      let session: FakeSession | undefined;
      const begin = (token: string): void => {
        session = this.#begin(socket, token, url);
      };
      if (header !== undefined) begin(header);
      socket.on("message", (data: Buffer) => {
        const { stanza } = decodeFrame(data);
        if (session !== undefined) return this.#onStanza(session, stanza);
        if (stanza.kind === "tokenAuthority") this.#authenticate(socket, stanza.value.token, begin);
      });
      socket.on("close", () => session !== undefined && this.sessions.delete(session));
    });
  }

  static async start(port = 0): Promise<FakeGateway> {
    let gateway: FakeGateway | undefined;
    const server = new WebSocketServer({
      port,
      host: "127.0.0.1",
      verifyClient: ({ req }, done) => {
        const token = req.headers.authorization?.replace("Bearer ", "");
        if (token === undefined) return done(true);
        gateway?.tokens.push(token);
        done(!token.startsWith("bad"), 401, "token: the signature is wrong");
      },
    });
    gateway = new FakeGateway(server);
    await new Promise((resolve) => server.once("listening", resolve));
    return gateway;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("not listening on a port");
    return address.port;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}/v1/ws`;
  }

  /** Ends every connection without a close frame, as a crash does. */
  drop(): void {
    for (const { socket } of this.sessions) socket.terminate();
    this.sessions.clear();
  }

  close(code: number, reason = ""): void {
    for (const { socket } of this.sessions) socket.close(code, reason);
  }

  async stop(): Promise<void> {
    for (const socket of this.#server.clients) socket.terminate();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Puts a message into a user's log, from elsewhere, and hands it to the live devices. */
  put(eid: string, text: string, from = "someone@example.com", device = "phone"): number {
    const message = create(MessageSchema, {
      id: `put-${this.#sequence + 1}`,
      from: create(IdentitySchema, { eid: from, connectionResourceId: device, node: "fake" }),
      to: create(IdentitySchema, { eid }),
      type: "text",
      payload: { data: { text } },
    });
    return this.#append(eid, message);
  }

  /** Sends a stanza to every session. */
  broadcast(frame: Uint8Array): void {
    for (const { socket } of this.sessions) socket.send(frame);
  }

  /** The log of a user was lost: indexes begin anew. */
  forget(): void {
    this.#logs.clear();
    this.#stored.clear();
    this.#sequence = 0;
  }

  texts(eid: string): (string | undefined)[] {
    return (this.#logs.get(eid) ?? []).map(({ message }) => message.payload?.data.text);
  }

  #authenticate(socket: WebSocket, token: string, begin: (token: string) => void): void {
    this.tokens.push(token);
    if (token.startsWith("bad")) {
      const error = create(ErrorMessageSchema, { code: 401, details: "token: the signature is wrong" });
      socket.send(encodeStanza("error", error));
      return socket.close(4401, "token");
    }
    const result = create(TokenAuthoritySchema, { type: TokenType.RESULT, task: TokenTask.AUTHENTICATE });
    socket.send(encodeStanza("tokenAuthority", result));
    begin(token);
  }

  #begin(socket: WebSocket, token: string, url: URL): FakeSession {
    const [eid = "", device = ""] = token.split("/");
    const resume = url.searchParams.get("resume");
    const session = { eid, device: url.searchParams.get("device") ?? device, resume, socket, live: false };
    this.sessions.add(session);
    this.resumes.push(resume);
    if (resume !== "manual") this.#replay(session, 0, false);
    return session;
  }

  #replay(session: FakeSession, after: number, withOwn: boolean): void {
    if (!this.answersResume) return;
    const log = this.#logs.get(session.eid) ?? [];
    let previous = 0;
    for (const entry of log) {
      if (entry.index > after && (withOwn || !isOwn(entry.message, session))) this.#hand(session, entry, previous);
      previous = entry.index;
    }
    session.live = true;
    session.socket.send(this.#resumed(SignalType.RESPONSE, log.at(-1)?.index ?? 0));
  }

  #resumed(type: number, head: number): Uint8Array {
    const signal = create(SignalSchema, { type, status: SignalStatus.RESUME, monotonicId: BigInt(head) });
    return encodeStanza("signal", signal);
  }

  #hand(session: FakeSession, { index, message }: Entry, previous: number): void {
    const indexes = { monotonicId: BigInt(index), previousId: BigInt(previous) };
    session.socket.send(encodeStanza("message", { ...message, ...indexes }));
  }

  #onStanza(session: FakeSession, { kind, value }: Stanza): void {
    if (kind === "message") return this.#onMessage(session, value);
    if (kind === "pingPong" && value.type === PingPongType.PING && this.answersPings) {
      const pong = create(PingPongSchema, { id: value.id, type: PingPongType.PONG });
      return session.socket.send(encodeStanza("pingPong", pong));
    }
    if (kind !== "signal" || value.status !== SignalStatus.RESUME) return;
    this.resumes.push(value.monotonicId);
    const head = this.#logs.get(session.eid)?.at(-1)?.index ?? 0;
    if (value.monotonicId > head) return session.socket.send(this.#resumed(SignalType.ERROR, head));
    this.#replay(session, Math.max(0, Number(value.monotonicId)), value.monotonicId < 0n);
  }

  #onMessage(session: FakeSession, message: Message): void {
    this.received.push(message);
    const fate = this.fate(message);
    const { id } = message;
    const to = message.to?.eid ?? "";
    if (fate === "ignore") return;
    if (typeof fate === "number") {
      const error = create(ErrorMessageSchema, { code: fate, details: `fate ${fate}`, id });
      return session.socket.send(encodeStanza("error", error));
    }
    const key = JSON.stringify([session.eid, to, id]);
    let stored = this.#stored.get(key);
    if (stored === undefined) {
      const from = create(IdentitySchema, { eid: session.eid, connectionResourceId: session.device, node: "fake" });
      const index = this.#append(to, { ...message, from });
      stored = {
        monotonicId: index,
        logId: to === session.eid ? index : this.#append(session.eid, { ...message, from }),
      };
      this.#stored.set(key, stored);
    }
    if (fate === "store") session.socket.send(encodeSent({ id, toEid: to, ...stored, timestampMs: Date.now() }));
  }

  #append(eid: string, message: Message): number {
    const log = this.#logs.get(eid) ?? [];
    this.#logs.set(eid, log);
    const entry = { index: ++this.#sequence, message };
    const previous = log.at(-1)?.index ?? 0;
    log.push(entry);
    for (const session of this.sessions) {
      if (session.live && session.eid === eid && !isOwn(message, session)) this.#hand(session, entry, previous);
    }
    return entry.index;
  }
}

function isOwn(message: Message, session: FakeSession): boolean {
  return message.from?.eid === session.eid && message.from.connectionResourceId === session.device;
}
