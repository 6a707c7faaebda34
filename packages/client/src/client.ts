import {
  BimipError,
  encodeStanza,
  ErrorCode,
  PingPongType,
  type Signal,
  SignalSchema,
  SignalStatus,
  SignalType,
  type Stanza,
  validateStanza,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import type { BimipClient } from "./bimip-client.js";
import type { ClientEvents, ClientOptions, Gap } from "./client-options.js";
import type { ClientState } from "./client-state.js";
import type { StoredState } from "./client-store.js";
import { type Connection, toError } from "./connection.js";
import { Emitter, type Handler } from "./emitter.js";
import { type HistoryItem, type HistoryOptions, history } from "./history.js";
import { Inbox } from "./inbox.js";
import { pingPongFrame } from "./keepalive.js";
import { Link } from "./link.js";
import { Outbox } from "./outbox.js";
import type { OutboxItem, Sent } from "./outbox-entry.js";
import { type OutgoingMessage, toOutboxItem } from "./outgoing-message.js";
import { type Outgoing, OutgoingStates } from "./outgoing-states.js";
import { PingTimes } from "./ping-times.js";
import { Queries } from "./queries.js";
import {
  askSubscribe,
  askUnread,
  askUnsubscribe,
  type PushSubscriptionLike,
  type UnreadCounts,
} from "./queries-of-client.js";
import { Receipts } from "./receipts.js";
import { StoreSession } from "./store-session.js";
import { sortStored } from "./stored-outgoing.js";
import { tokenEid } from "./token-eid.js";

/** The stored cursor, which the server begins anew with another log. */
const STORED_CURSOR = 0n;
const EVERYTHING = -1n;

/** A client, offline until `connect()`. Throws a BimipError 422 for a url that is not ws:// or wss://. */
export function createClient(options: ClientOptions): BimipClient {
  const protocol = URL.canParse(options.url) ? new URL(options.url).protocol : "";
  if (protocol !== "ws:" && protocol !== "wss:") {
    throw new BimipError(ErrorCode.FIELD_WRONG, `url: ${options.url} is not a ws:// or wss:// address`, {
      field: "url",
    });
  }
  return new Client(options);
}

/** Wires the parts together: link (connections), outbox and receipts (out), inbox (in), queries. */
class Client implements BimipClient {
  readonly #options: ClientOptions;
  readonly #events = new Emitter<ClientEvents>();
  readonly #store: StoreSession | undefined;
  readonly #states = new OutgoingStates((outgoing) => this.#events.emit("outgoing", outgoing));
  readonly #outbox: Outbox;
  readonly #receipts: Receipts;
  readonly #inbox: Inbox;
  readonly #queries: Queries;
  readonly #pings = new PingTimes();
  readonly #link: Link;
  #eid: string;
  /** The last that was told. */
  #gap: Gap | undefined;

  constructor(options: ClientOptions) {
    const { store, reconnect = {}, maxInFlight = 256, queryTimeoutMs = 15_000 } = options;
    const onError = (error: BimipError): void => this.#events.emit("error", error);
    this.#options = options;
    this.#eid = options.eid ?? "";
    const onOpened = (state: StoredState): void => this.#restore(state);
    this.#store = store === undefined ? undefined : new StoreSession(store, { onOpened, onError });
    this.#outbox = new Outbox({ maxInFlight, backoff: reconnect, states: this.#states, store: this.#store });
    this.#receipts = new Receipts(this.#store, reconnect);
    this.#queries = new Queries(queryTimeoutMs);
    this.#inbox = new Inbox({
      events: this.#events,
      receipts: this.#receipts,
      states: this.#states,
      acknowledges: options.acknowledge !== "manual",
      eid: () => this.#eid,
      onProgress: (progress) => this.#store?.save({ ...progress, owner: this.#eid }),
    });
    this.#link = new Link(options, {
      prepare: (token) => this.#prepare(token),
      resumesManually: () => options.receive === false || this.#resumeAt() !== undefined,
      onAuthenticated: (connection) => this.#onAuthenticated(connection),
      onStanza: (connection, stanza) => this.#onStanza(connection, stanza),
      onInterrupt: () => this.#onInterrupt(),
      onEnd: (error) => this.#onEnd(error),
      onState: (state) => this.#events.emit("state", state),
      onError,
    });
  }

  get state(): ClientState {
    return this.#link.state;
  }

  on<Name extends keyof ClientEvents>(name: Name, handler: Handler<ClientEvents[Name]>): () => void {
    return this.#events.on(name, handler);
  }

  connect(): Promise<void> {
    return this.#link.connect();
  }

  send(message: OutgoingMessage): Promise<Sent> {
    return this.#add("message", message);
  }

  push(notification: OutgoingMessage): Promise<Sent> {
    return this.#add("pushNotification", notification);
  }

  outgoing(id: string, to: string): Outgoing | undefined {
    return this.#states.get(id, to);
  }

  typing(to: string): void {
    this.#sendLive(to, SignalStatus.TYPING);
  }

  recording(to: string): void {
    this.#sendLive(to, SignalStatus.RECORDING);
  }

  history(options?: HistoryOptions): AsyncGenerator<HistoryItem> {
    const receiptsOf = this.#inbox.receiptsOf.bind(this.#inbox);
    return history({ queries: this.#queries, eid: () => this.#eid, receiptsOf }, options);
  }

  unread(options: { readonly with?: string } = {}): Promise<UnreadCounts> {
    return askUnread(this.#queries, options.with);
  }

  subscribePush(subscription: PushSubscriptionLike): Promise<void> {
    return askSubscribe(this.#queries, subscription);
  }

  unsubscribePush(): Promise<void> {
    return askUnsubscribe(this.#queries);
  }

  ping(): Promise<number> {
    const { connection } = this.#link;
    if (connection === undefined) return Promise.reject(new BimipError(ErrorCode.TRY_AGAIN, "not connected"));
    return this.#pings.start((id) => connection.send(pingPongFrame(PingPongType.PING, id)));
  }

  async close(): Promise<void> {
    this.#receipts.close();
    await this.#link.close();
    await this.#store?.close();
  }

  async #add(kind: OutboxItem["kind"], outgoing: OutgoingMessage): Promise<Sent> {
    if (this.state === "closed") throw new BimipError(ErrorCode.TRY_AGAIN, "the client is closed");
    const item = toOutboxItem(kind, outgoing);
    // What an earlier process left goes first.
    if (this.#store !== undefined) await this.#store.open();
    return this.#outbox.add(item);
  }

  #sendLive(to: string, status: SignalStatus): void {
    const timestamp = BigInt(Date.now());
    const value = create(SignalSchema, { to: { eid: to }, type: SignalType.REQUEST, status, timestamp });
    const problem = validateStanza({ kind: "signal", value });
    if (problem !== undefined) throw problem;
    this.#link.connection?.send(encodeStanza("signal", value));
  }

  #prepare(token: string): Promise<void> | undefined {
    this.#eid = this.#options.eid ?? tokenEid(token) ?? "";
    return this.#store?.claim(this.#eid);
  }

  /** Takes over what an earlier process left. */
  #restore(state: StoredState): void {
    const { receipts, items } = sortStored(state.outgoing);
    this.#inbox.restore(state);
    this.#receipts.restore(receipts);
    this.#outbox.restore(items);
  }

  #onAuthenticated(connection: Connection): void {
    if (this.#options.receive === false) return this.#onUpToDate(connection);
    const index = this.#resumeAt();
    // With a position of ours, receipts wait until RESUME told that the log is still the one they speak of.
    if (index === undefined || index < 0n) this.#receipts.open((frame) => connection.send(frame));
    if (index !== undefined) connection.resume(index);
  }

  /** Where to go on in the log; undefined: the server knows. */
  #resumeAt(): bigint | undefined {
    const { index } = this.#inbox;
    if (index > 0n) return index;
    return this.#options.begin === "everything" ? EVERYTHING : undefined;
  }

  #onUpToDate(connection: Connection): void {
    const send = (frame: Uint8Array): void => connection.send(frame);
    this.#link.online(connection);
    this.#receipts.open(send);
    this.#queries.open(send);
    this.#outbox.open(send);
  }

  #onInterrupt(): void {
    this.#outbox.interrupt();
    this.#receipts.interrupt();
    this.#queries.interrupt();
    this.#pings.fail(new BimipError(ErrorCode.TRY_AGAIN, "the connection was lost"));
  }

  #onEnd(error: BimipError): void {
    this.#outbox.abandon(error);
    this.#queries.abandon(error);
    void this.#store?.close();
  }

  #onStanza(connection: Connection, stanza: Stanza): void {
    if (this.#events.has("stanza")) this.#events.emit("stanza", stanza);
    switch (stanza.kind) {
      case "message":
      case "pushNotification":
      case "event":
        return this.#inbox.take(stanza, this.state === "replaying");
      case "signal":
        return this.#onSignal(connection, stanza.value);
      case "page":
        return this.#queries.answer(stanza.value);
      case "awareness":
        return this.#events.emit("awareness", stanza.value);
      case "body":
        for (const awareness of stanza.value.awarenessList) this.#events.emit("awareness", awareness);
        return;
      case "error":
        return this.#onError(toError(stanza.value));
      case "logout":
        return this.#events.emit("logout", stanza.value);
      case "pingPong":
        if (stanza.value.type === PingPongType.PING) connection.send(pingPongFrame(PingPongType.PONG, stanza.value.id));
        else this.#pings.answer(stanza.value.id);
        return;
      // For these the `stanza` event is the way until the client has methods that send their like.
      case "awarenessContact":
      case "awarenessVisibility":
      case "tokenAuthority":
      case "locationStream":
      case "query":
        return;
    }
  }

  #onSignal(connection: Connection, signal: Signal): void {
    const { id, type, status } = signal;
    if (status === SignalStatus.RESUME) return this.#onResume(connection, signal);
    if (status === SignalStatus.SENT && type === SignalType.RESPONSE) {
      this.#inbox.ownCopy(signal.logId);
      const [index, logIndex] = [Number(signal.monotonicId), Number(signal.logId)];
      this.#outbox.confirm({ id, to: signal.to?.eid ?? "", index, logIndex });
    } else if (type === SignalType.ERROR) {
      const details = signal.details || "the signal could not be done";
      this.#events.emit("error", new BimipError(ErrorCode.UNKNOWN, details, id === "" ? {} : { id }));
    } else {
      this.#inbox.take({ kind: "signal", value: signal }, this.state === "replaying");
    }
  }

  #onResume(connection: Connection, signal: Signal): void {
    if (signal.type === SignalType.RESPONSE && signal.details !== "") this.#onGap(signal);
    if (this.state !== "replaying" || this.#options.receive === false) return;
    if (this.#inbox.resumed(signal) === "again") connection.resume(STORED_CURSOR);
    else this.#onUpToDate(connection);
  }

  /** The server repeats it until something behind it is acknowledged; the application hears it once. */
  #onGap({ details, firstId, epoch }: Signal): void {
    const gap = { details, firstId: Number(firstId), epoch: Number(epoch) };
    if (gap.details === this.#gap?.details && gap.epoch === this.#gap.epoch) return;
    this.#gap = gap;
    this.#events.emit("gap", gap);
  }

  #onError(error: BimipError): void {
    if (this.#queries.refuse(error)) return;
    const comesAgain = error.code === ErrorCode.TRY_AGAIN || error.code === ErrorCode.TOO_FAST;
    const ours = comesAgain
      ? this.#outbox.postpone(error.id ?? "") || this.#receipts.postpone(error)
      : this.#outbox.refuse(error);
    // A 401 is followed by the close, which says it again.
    if (!ours && error.code !== ErrorCode.NOT_AUTHENTICATED) this.#events.emit("error", error);
  }
}
