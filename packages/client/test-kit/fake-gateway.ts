import {
  decodeFrame,
  encodeSent,
  encodeStanza,
  ErrorMessageSchema,
  IdentitySchema,
  type Message,
  MessageSchema,
  MessageSchemeSchema,
  type Page,
  PageSchema,
  PingPongSchema,
  PingPongType,
  type PushNotification,
  type Query,
  QueryType,
  type Signal,
  SignalSchema,
  SignalStatus,
  SignalType,
  type Stanza,
  TokenAuthoritySchema,
  TokenTask,
  TokenType,
} from "@bimip/protocol";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type WebSocket, WebSocketServer } from "ws";
import { type Entry, isConversation, type Stored, withIndexes } from "./fake-log.js";

/** One authenticated connection at the fake. */
export interface FakeSession {
  readonly eid: string;
  readonly device: string;
  readonly resume: string | null;
  readonly socket: WebSocket;
  live: boolean;
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
  readonly #told = new Set<string>();
  readonly #indexes = new Set<number>();
  #sequence = 0;
  #ids = 0;
  epoch = 1;
  readonly sessions = new Set<FakeSession>();
  /** Highest index acknowledged, by `eid/device`. */
  readonly cursors = new Map<string, number>();
  /** Every Message and PushNotification that came, in order. */
  readonly received: (Message | PushNotification)[] = [];
  /** Every receipt and cursor Signal that came, in order. */
  readonly receipts: Signal[] = [];
  readonly queries: Query[] = [];
  /** Tokens of the connections that asked to be let in. */
  readonly tokens: string[] = [];
  /** `resume` of the URL, and of each RESUME the index. */
  readonly resumes: (string | null | bigint)[] = [];
  /** `details` of the next RESUME answer. */
  gapDetails = "";
  fate: (message: Message | PushNotification) => Fate = () => "store";
  receiptFate: (signal: Signal) => "tell" | number = () => "tell";
  answersPings = true;
  answersResume = true;
  /** A page is given, nothing is answered, or an error of that code. */
  queryFate: "answer" | "ignore" | number = "answer";

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
  put(eid: string, text: string, from = "someone@example.com", device = "phone", id?: string): number {
    const value = create(MessageSchema, {
      id: id ?? `put-${++this.#ids}`,
      from: create(IdentitySchema, { eid: from, connectionResourceId: device, node: "fake" }),
      to: create(IdentitySchema, { eid }),
      type: "text",
      timestamp: BigInt(Date.now()),
      payload: { data: { text } },
    });
    return this.append(eid, { kind: "message", value });
  }

  /** Puts a receipt into a user's log. */
  putReceipt(eid: string, init: MessageInitShape<typeof SignalSchema>): number {
    return this.append(eid, { kind: "signal", value: create(SignalSchema, { type: SignalType.REQUEST, ...init }) });
  }

  append(eid: string, stanza: Stored): number {
    const log = this.#logs.get(eid) ?? [];
    this.#logs.set(eid, log);
    const entry = { index: ++this.#sequence, stanza };
    const previous = log.at(-1)?.index ?? 0;
    log.push(entry);
    this.#indexes.add(entry.index);
    for (const session of this.sessions) {
      if (session.live && session.eid === eid && !isOwn(stanza, session)) this.#hand(session, entry, previous);
    }
    return entry.index;
  }

  /** Sends a stanza to every session. */
  broadcast(frame: Uint8Array): void {
    for (const { socket } of this.sessions) socket.send(frame);
  }

  /** An unsolicited RESUME answer to every session. */
  announce(): void {
    for (const { eid, socket } of this.sessions) {
      socket.send(this.#resumed(SignalType.RESPONSE, this.#logs.get(eid) ?? []));
    }
  }

  /** The logs were lost: indexes begin anew. */
  forget(): void {
    this.#logs.clear();
    this.#indexes.clear();
    this.#stored.clear();
    this.cursors.clear();
    this.#sequence = 0;
    this.epoch++;
  }

  /** Texts of the messages that others and this user have put into the user's log. */
  texts(eid: string): (string | undefined)[] {
    return (this.#logs.get(eid) ?? []).flatMap(({ stanza }) =>
      stanza.kind === "message" ? [stanza.value.payload?.data.text] : [],
    );
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
    if (resume !== "manual") this.#replay(session, 0n);
    return session;
  }

  #replay(session: FakeSession, position: bigint): void {
    if (!this.answersResume) return;
    const log = this.#logs.get(session.eid) ?? [];
    const after = position > 0n ? Number(position) : position < 0n ? 0 : (this.cursors.get(nameOf(session)) ?? 0);
    let previous = 0;
    for (const entry of log) {
      if (entry.index > after && (position < 0n || !isOwn(entry.stanza, session))) this.#hand(session, entry, previous);
      previous = entry.index;
    }
    session.live = true;
    session.socket.send(this.#resumed(SignalType.RESPONSE, log));
    this.gapDetails = "";
  }

  #resumed(type: number, log: readonly Entry[]): Uint8Array {
    const signal = create(SignalSchema, {
      type,
      status: SignalStatus.RESUME,
      monotonicId: BigInt(log.at(-1)?.index ?? 0),
      firstId: BigInt(log[0]?.index ?? 0),
      epoch: BigInt(this.epoch),
      details: this.gapDetails,
    });
    return encodeStanza("signal", signal);
  }

  #hand(session: FakeSession, entry: Entry, previous: number): void {
    session.socket.send(encode(withIndexes(entry, previous)));
  }

  #onStanza(session: FakeSession, stanza: Stanza): void {
    const { kind, value } = stanza;
    if (kind === "message" || kind === "pushNotification") return this.#onMessage(session, stanza);
    if (kind === "query") return this.#onQuery(session, value);
    if (kind === "signal") return this.#onSignal(session, value);
    if (kind === "pingPong" && value.type === PingPongType.PING && this.answersPings) {
      const pong = create(PingPongSchema, { id: value.id, type: PingPongType.PONG });
      session.socket.send(encodeStanza("pingPong", pong));
    }
  }

  #onSignal(session: FakeSession, signal: Signal): void {
    const log = this.#logs.get(session.eid) ?? [];
    if (signal.status === SignalStatus.RESUME) {
      this.resumes.push(signal.monotonicId);
      const beyond = signal.monotonicId > (log.at(-1)?.index ?? 0);
      if (beyond) return session.socket.send(this.#resumed(SignalType.ERROR, log));
      return this.#replay(session, signal.monotonicId);
    }
    const from = create(IdentitySchema, { eid: session.eid, connectionResourceId: session.device, node: "fake" });
    const to = signal.to?.eid ?? "";
    if (signal.status === SignalStatus.TYPING || signal.status === SignalStatus.RECORDING) {
      for (const other of this.sessions) {
        if (other.eid === to) other.socket.send(encodeStanza("signal", { ...signal, from }));
      }
      return;
    }
    this.receipts.push(signal);
    const fate = this.receiptFate(signal);
    if (fate !== "tell") return session.socket.send(errorOf(fate, signal.id));
    const name = nameOf(session);
    this.cursors.set(name, Math.max(this.cursors.get(name) ?? 0, Number(signal.monotonicId)));
    if (signal.id === "" || to === "") return;
    if (!this.#indexes.has(Number(signal.monotonicId))) {
      const unknown = create(SignalSchema, { ...signal, type: SignalType.ERROR, details: "no such message" });
      return session.socket.send(encodeStanza("signal", unknown));
    }
    const key = JSON.stringify([session.eid, to, signal.id, signal.status]);
    if (this.#told.has(key)) return;
    this.#told.add(key);
    this.append(to, { kind: "signal", value: { ...signal, from } });
  }

  #onQuery(session: FakeSession, query: Query): void {
    this.queries.push(query);
    if (this.queryFate === "ignore") return;
    if (this.queryFate !== "answer") return session.socket.send(errorOf(this.queryFate, query.id));
    const answer = create(PageSchema, { id: query.id });
    if (query.type === QueryType.HISTORY) this.#fillHistory(session, query, answer);
    if (query.type === QueryType.UNREAD) {
      const rows = new Map<string, { count: number; last: number }>();
      for (const { index, stanza } of this.#conversation(session, query)) {
        const eid = stanza.value.from?.eid ?? "";
        if (eid !== session.eid) rows.set(eid, { count: (rows.get(eid)?.count ?? 0) + 1, last: index });
      }
      answer.unread = create(PageSchema, {
        unread: [...rows].map(([eid, { count, last }]) => ({ with: { eid }, count, lastId: BigInt(last) })),
      }).unread;
    }
    session.socket.send(encodeStanza("page", answer));
  }

  #conversation({ eid }: FakeSession, query: Query): Entry[] {
    return (this.#logs.get(eid) ?? []).filter((entry) => isConversation(entry, query.with?.eid ?? ""));
  }

  #fillHistory(session: FakeSession, query: Query, page: Page): void {
    const all = this.#conversation(session, query);
    const forwards = query.after > 0n;
    const within = all.filter(({ index }) =>
      forwards ? index > query.after : query.before === 0n || index < query.before,
    );
    const chosen = forwards ? within.slice(0, query.limit) : within.slice(-query.limit);
    const ids = new Set(chosen.map(({ stanza }) => stanza.value.id));
    const receipts = (this.#logs.get(session.eid) ?? []).filter(
      ({ stanza }) => stanza.kind === "signal" && ids.has(stanza.value.id),
    );
    page.items = [...chosen, ...receipts].map((entry) => {
      const { kind, value } = withIndexes(entry, 0);
      return create(MessageSchemeSchema, { payload: { case: kind, value } as never });
    });
    page.next = BigInt((forwards ? chosen.at(-1) : chosen[0])?.index ?? 0);
    page.done = chosen.length === within.length;
  }

  #onMessage(session: FakeSession, stanza: Stored & { kind: "message" | "pushNotification" }): void {
    const { value } = stanza;
    this.received.push(value);
    const fate = this.fate(value);
    const { id } = value;
    const to = value.to?.eid ?? "";
    if (fate === "ignore") return;
    if (typeof fate === "number") return session.socket.send(errorOf(fate, id));
    const key = JSON.stringify([session.eid, to, id]);
    let stored = this.#stored.get(key);
    if (stored === undefined) {
      const from = create(IdentitySchema, { eid: session.eid, connectionResourceId: session.device, node: "fake" });
      const stamped = { kind: stanza.kind, value: { ...value, from } } as Stored;
      const index = this.append(to, stamped);
      stored = { monotonicId: index, logId: to === session.eid ? index : this.append(session.eid, stamped) };
      this.#stored.set(key, stored);
    }
    if (fate === "store") session.socket.send(encodeSent({ id, toEid: to, ...stored, timestampMs: Date.now() }));
  }
}

function encode({ kind, value }: Stored): Uint8Array {
  return encodeStanza(kind, value as never);
}

function errorOf(code: number, id: string): Uint8Array {
  return encodeStanza("error", create(ErrorMessageSchema, { code, details: `fate ${code}`, id }));
}

function nameOf({ eid, device }: FakeSession): string {
  return `${eid}/${device}`;
}

function isOwn({ value }: Stored, session: FakeSession): boolean {
  return value.from?.eid === session.eid && value.from.connectionResourceId === session.device;
}
