import {
  decodeFrame,
  encodeSent,
  encodeStanza,
  IdentitySchema,
  type Message,
  MessageSchema,
  PingPongSchema,
  PingPongType,
  type PushNotification,
  type Query,
  type Signal,
  SignalSchema,
  SignalStatus,
  SignalType,
  type Stanza,
} from "@bimip/protocol";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type WebSocket, WebSocketServer } from "ws";
import { FakeAccount } from "./fake-account.js";
import { FakeAwareness } from "./fake-awareness.js";
import { entryFrame, errorFrame, type Refusal, resumeFrame } from "./fake-frames.js";
import type { Entry, Stored } from "./fake-log.js";
import { pageOf } from "./fake-queries.js";
import { type FakeSession, isOwn, nameOf } from "./fake-session.js";
import { readFakeToken } from "./fake-tokens.js";

const MAX_QUERIES = 8;

/** What becomes of a message: stored and confirmed, stored but unconfirmed, ignored, or refused. */
export type Fate = "store" | "storeSilently" | "ignore" | Refusal;

/**
 * A gateway in this process that keeps logs in memory and speaks the protocol over real sockets. Tokens are
 * `eid/device`, or those of fake-tokens.ts; any token that begins with `bad` is refused. It shows what the SDK does; that a real gateway does the
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
  readonly awareness = new FakeAwareness(this.sessions);
  readonly account = new FakeAccount(this.sessions);
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
  /** Ids of the RESUMEs. */
  readonly resumeIds: string[] = [];
  /** false: RESUME is answered as by a gateway that does not know the epoch in it. */
  comparesEpochs = true;
  /** `details` of the next RESUME answer. */
  gapDetails = "";
  fate: (message: Message | PushNotification) => Fate = () => "store";
  receiptFate: (signal: Signal) => "tell" | number = () => "tell";
  answersPings = true;
  answersResume = true;
  /** false: an entry is not handed over live, though it is stored. */
  delivers: (stanza: Stored, session: FakeSession) => boolean = () => true;
  /** A page is given, nothing is answered, or an error of that code. */
  queryFate: "answer" | "ignore" | number = "answer";
  /** Queries take a turn each, and more than 8 of them at once are refused. */
  answersQueriesLater = false;
  #queriesUnderWay = 0;
  /** So many were under way at once. */
  mostQueries = 0;

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
        if (stanza.kind !== "tokenAuthority") return;
        this.tokens.push(stanza.value.token || stanza.value.refreshToken);
        const token = this.account.first(socket, stanza.value);
        if (token !== undefined) begin(token);
      });
      socket.on("close", () => {
        if (session === undefined) return;
        this.sessions.delete(session);
        this.account.end(session);
      });
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
        const problem = gateway?.account.problem(token);
        done(problem === undefined, 401, problem);
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
    log.push(entry);
    this.#indexes.add(entry.index);
    for (const session of this.sessions) {
      if (session.live && session.eid === eid) this.#offer(session, entry, false);
    }
    return entry.index;
  }

  /** Sends a stanza to every session. */
  broadcast(frame: Uint8Array): void {
    for (const { socket } of this.sessions) socket.send(frame);
  }

  /** What a gateway says unasked to every session, by default of a log that was handed over to its end. */
  announce(init: MessageInitShape<typeof SignalSchema> = {}): void {
    for (const { eid, socket } of this.sessions) {
      socket.send(this.#resumed({ type: SignalType.RESPONSE, id: "", ...init }, this.#logs.get(eid) ?? []));
    }
  }

  /** The oldest entries of a log are gone. */
  trim(eid: string, upTo: number): void {
    this.#logs.set(
      eid,
      (this.#logs.get(eid) ?? []).filter(({ index }) => index > upTo),
    );
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

  #begin(socket: WebSocket, token: string, url: URL): FakeSession {
    const { eid, device } = readFakeToken(token);
    const resume = url.searchParams.get("resume");
    const asked = url.searchParams.get("device") ?? device;
    const session = { eid, device: asked, resume, socket, token, live: false, told: 0 };
    this.sessions.add(session);
    this.account.arm(session, token);
    this.resumes.push(resume);
    this.awareness.begin(session);
    if (resume !== "manual") this.#replay(session, 0n, "");
    return session;
  }

  #replay(session: FakeSession, position: bigint, id: string): void {
    if (!this.answersResume) return;
    const log = this.#logs.get(session.eid) ?? [];
    const after = position > 0n ? Number(position) : position < 0n ? 0 : (this.cursors.get(nameOf(session)) ?? 0);
    session.told = after;
    session.live = false;
    for (const entry of log) if (entry.index > after) this.#offer(session, entry, position < 0n);
    session.live = true;
    session.socket.send(this.#resumed({ type: SignalType.RESPONSE, id }, log));
    this.gapDetails = "";
  }

  #resumed(init: MessageInitShape<typeof SignalSchema>, log: readonly Entry[]): Uint8Array {
    return resumeFrame(log, { epoch: BigInt(this.epoch), details: this.gapDetails, ...init });
  }

  #offer(session: FakeSession, entry: Entry, withOwn: boolean): void {
    const { index, stanza } = entry;
    const own = isOwn(stanza, session) && !withOwn;
    // Of its own copies SENT told the device, of its own receipts nothing did.
    if (own && stanza.kind === "signal") return;
    if (!own && (!session.live || this.delivers(stanza, session))) {
      session.socket.send(entryFrame(entry, session.told));
    }
    session.told = index;
  }

  #onStanza(session: FakeSession, stanza: Stanza): void {
    const { kind, value } = stanza;
    if (this.awareness.take(session, stanza) || this.account.take(session, stanza)) return;
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
      this.resumeIds.push(signal.id);
      const { id, monotonicId, epoch } = signal;
      const beyond = monotonicId > (log.at(-1)?.index ?? 0);
      const ofAnother = this.comparesEpochs && monotonicId > 0n && epoch > 0n && Number(epoch) !== this.epoch;
      if (beyond || ofAnother) {
        return session.socket.send(this.#resumed({ type: SignalType.ERROR, id, monotonicId }, log));
      }
      return this.#replay(session, monotonicId, id);
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
    if (fate !== "tell") return session.socket.send(errorFrame(fate, signal.id));
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
    if (!this.answersQueriesLater) return this.#answerQuery(session, query);
    this.mostQueries = Math.max(this.mostQueries, ++this.#queriesUnderWay);
    setImmediate(() => {
      if (this.#queriesUnderWay-- > MAX_QUERIES) session.socket.send(errorFrame(429, query.id));
      else this.#answerQuery(session, query);
    });
  }

  #answerQuery(session: FakeSession, query: Query): void {
    if (this.queryFate === "ignore") return;
    if (this.queryFate !== "answer") return session.socket.send(errorFrame(this.queryFate, query.id));
    if (FakeAccount.isSessions(query)) return session.socket.send(this.account.page(session, query));
    session.socket.send(encodeStanza("page", pageOf(this.#logs.get(session.eid) ?? [], session.eid, query)));
  }

  #onMessage(session: FakeSession, stanza: Stored & { kind: "message" | "pushNotification" }): void {
    const { value } = stanza;
    this.received.push(value);
    const fate = this.fate(value);
    const { id } = value;
    const to = value.to?.eid ?? "";
    if (fate === "ignore") return;
    if (typeof fate === "number" || typeof fate === "object") return session.socket.send(errorFrame(fate, id));
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
