import { BimipError, ErrorCode, PingPongType, SignalStatus, type Stanza } from "@bimip/protocol";
import type { ContactsApi, PresenceApi } from "./awareness/api.js";
import { Peers } from "./awareness/peers.js";
import { presenceApi } from "./awareness/presence-api.js";
import type { BimipClient } from "./bimip-client.js";
import type { ClientEvents, ClientOptions } from "./client-options.js";
import type { ClientState } from "./client-state.js";
import type { StoredState } from "./client-store.js";
import type { Connection } from "./connection.js";
import { Emitter, type Handler } from "./emitter.js";
import { type HistoryItem, type HistoryOptions, history } from "./history.js";
import { Inbox } from "./inbox.js";
import { pingPongFrame } from "./keepalive.js";
import { Link } from "./link.js";
import { liveSignalFrame } from "./live-signal.js";
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
import { StanzaDispatch } from "./stanza-dispatch.js";
import { StoreSession } from "./store-session.js";
import { sortStored } from "./stored-outgoing.js";
import { Account, checkTokens } from "./tokens/account.js";
import { readClaims } from "./tokens/claims.js";
import type { LogoutOptions } from "./tokens/logouts.js";
import type { OpenSession, Revocation, TokenCheck } from "./tokens/token-api.js";
import type { Tokens } from "./tokens/token-store.js";
import { within } from "./within.js";

/** A client, offline until `connect()`. Throws a BimipError 422 for a url that is not ws:// or wss://, or without any token. */
export function createClient(options: ClientOptions): BimipClient {
  const { url } = options;
  const protocol = URL.canParse(url) ? new URL(url).protocol : "";
  if (protocol !== "ws:" && protocol !== "wss:") {
    // Somebody may have put a token behind it.
    const told = url.replace(/[?#].*$/s, "");
    throw new BimipError(ErrorCode.FIELD_WRONG, `url: ${told} is not a ws:// or wss:// address`, { field: "url" });
  }
  checkTokens(options);
  return new Client(options);
}

/** Wires the parts together: link (connections), outbox and receipts (out), inbox (in), queries, peers (awareness). */
class Client implements BimipClient {
  readonly #options: ClientOptions;
  readonly #events = new Emitter<ClientEvents>();
  readonly #store: StoreSession | undefined;
  readonly #states = new OutgoingStates((outgoing) => this.#events.emit("outgoing", outgoing));
  readonly #outbox: Outbox;
  readonly #receipts: Receipts;
  readonly #inbox: Inbox;
  readonly #queries: Queries;
  readonly #account: Account;
  readonly #peers: Peers;
  readonly presence: PresenceApi;
  readonly contacts: ContactsApi;
  readonly #pings = new PingTimes();
  readonly #dispatch: StanzaDispatch;
  readonly #link: Link;
  #eid: string;
  #isClosing = false;

  constructor(options: ClientOptions) {
    const { store, reconnect = {}, maxInFlight = 256, queryTimeoutMs: timeoutMs = 15_000 } = options;
    const onError = (error: BimipError): void => this.#events.emit("error", error);
    this.#options = options;
    const known = [options.token, options.refreshToken].find((token) => typeof token === "string");
    this.#eid = options.eid ?? readClaims(known ?? "").eid ?? "";
    const onOpened = (state: StoredState): void => this.#restore(state);
    this.#store = store === undefined ? undefined : new StoreSession(store, { onOpened, onError });
    this.#outbox = new Outbox({ maxInFlight, backoff: reconnect, states: this.#states, store: this.#store });
    this.#receipts = new Receipts(this.#store, reconnect);
    this.#queries = new Queries(timeoutMs, reconnect);
    const common = {
      events: this.#events,
      timeoutMs,
      backoff: reconnect,
      ownEid: () => this.#eid,
      check: () => this.#refuseClosed(),
    };
    this.#account = new Account({ ...common, options, queries: this.#queries, link: () => this.#link });
    this.#peers = new Peers({ ...common, ping: () => this.ping() });
    this.presence = presenceApi(this.#peers);
    this.contacts = this.#peers.contacts;
    this.#inbox = new Inbox({
      begin: options.begin ?? "cursor",
      backoff: reconnect,
      inFlight: (of) => this.#outbox.inFlight(of),
      replaying: () => this.state === "replaying",
      onFull: () => this.#steer(),
      mayDrop: () => this.#link.connection?.canPause === true,
      events: this.#events,
      receipts: this.#receipts,
      states: this.#states,
      acknowledges: options.acknowledge !== "manual",
      eid: () => this.#eid,
      onProgress: (progress) => this.#store?.save({ ...progress, owner: this.#eid }),
    });
    this.#dispatch = new StanzaDispatch({
      events: this.#events,
      inbox: this.#inbox,
      outbox: this.#outbox,
      receipts: this.#receipts,
      queries: this.#queries,
      account: this.#account,
      peers: this.#peers,
      pings: this.#pings,
      onResumed: (connection) => {
        if (this.state === "replaying") this.#onUpToDate(connection);
      },
    });
    this.#link = new Link(options, this.#account.credentials, {
      onTokens: (tokens) => this.#account.took(tokens),
      prepare: (token) => this.#prepare(token),
      resumesManually: () => options.receive === false || this.#inbox.arrivals.start !== undefined,
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
    const off = this.#events.on(name, handler);
    // Not from within the call: other handlers may be added with this one.
    queueMicrotask(() => {
      if (name === "message" || name === "push") this.#inbox.heard();
      this.#peers.heard(name);
    });
    return off;
  }

  connect(): Promise<void> {
    this.#inbox.start();
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
    const frame = liveSignalFrame(to, SignalStatus.TYPING);
    this.#link.connection?.send(frame);
  }

  recording(to: string): void {
    const frame = liveSignalFrame(to, SignalStatus.RECORDING);
    this.#link.connection?.send(frame);
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

  sessions(): Promise<OpenSession[]> {
    return this.#account.sessions();
  }

  async logout(options: LogoutOptions = {}): Promise<void> {
    if (await this.#account.logout(options)) await this.close();
  }

  refresh(): Promise<Tokens> {
    return this.#account.refresh();
  }

  revoke(revocation: Revocation): Promise<void> {
    return this.#account.revoke(revocation);
  }

  validate(token = ""): Promise<TokenCheck> {
    return this.#account.validate(token);
  }

  ping(): Promise<number> {
    const { connection } = this.#link;
    if (connection === undefined) return Promise.reject(new BimipError(ErrorCode.TRY_AGAIN, "not connected"));
    const roundTrip = this.#pings.start((id) => connection.send(pingPongFrame(PingPongType.PING, id)));
    this.#steer();
    return roundTrip;
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    const handlers = this.#stopHandlers();
    if (handlers !== undefined) await handlers;
    const { replaced } = this.#account;
    if (replaced !== undefined) await within(replaced, this.#closeTimeoutMs, () => undefined);
    this.#receipts.close();
    await this.#link.close();
    this.#receipts.closed(this.#link.closeAnswered);
    await within(this.#account.credentials.end(), this.#closeTimeoutMs, () => undefined);
    this.#isClosing = false;
    // Unless connect() was called meanwhile.
    if (this.state === "closed") await this.#store?.close();
  }

  async #add(kind: OutboxItem["kind"], outgoing: OutgoingMessage): Promise<Sent> {
    this.#refuseClosed();
    const item = toOutboxItem(kind, outgoing);
    if (this.#store !== undefined) {
      // What an earlier process left goes first.
      await this.#store.ready(this.#eid);
      this.#refuseClosed();
    }
    return this.#outbox.add(item);
  }

  #refuseClosed(): void {
    if (this.state === "closed") throw new BimipError(ErrorCode.TRY_AGAIN, "the client is closed");
  }

  #prepare(token: string): Promise<void> | undefined {
    const eid = readClaims(token).eid ?? this.#eid;
    // What one account queued, and has read of its log, is not another's.
    if (this.#eid !== "" && eid !== this.#eid) {
      const details = `token: it belongs to ${eid}, the client to ${this.#eid}`;
      throw new BimipError(ErrorCode.CONFLICT, details, { field: "token" });
    }
    this.#eid = eid;
    return this.#store?.claim(eid);
  }

  /** Takes over what an earlier process left. */
  #restore(state: StoredState): void {
    const { receipts, items } = sortStored(state.outgoing);
    this.#inbox.restore(state);
    this.#receipts.restore(receipts);
    this.#outbox.restore(items);
  }

  #onAuthenticated(connection: Connection): void {
    const receives = this.#options.receive !== false;
    // With a position of ours, receipts wait until RESUME told that the log is still the one they speak of.
    if (receives && this.#inbox.arrivals.index === 0n) this.#receipts.open(connection);
    if (receives) this.#inbox.arrivals.open((index, epoch) => connection.resume(index, epoch), connection.manual);
    // A handler may wait for an answer before the replay goes on.
    const send = (frame: Uint8Array): void => {
      connection.send(frame);
      this.#steer();
    };
    this.#outbox.open(send);
    this.#queries.open(send);
    this.#account.open(send);
    this.#peers.open(send);
    this.#steer();
    if (!receives) this.#onUpToDate(connection);
  }

  #onUpToDate(connection: Connection): void {
    this.#link.online(connection);
    this.#receipts.open(connection);
  }

  /** While handlers are far behind nothing more is read, unless an answer is waited for: by one of them, perhaps. */
  #steer(): void {
    const waits = (): boolean =>
      this.#outbox.inFlight().size > 0 ||
      this.#queries.underWay + this.#account.underWay + this.#peers.underWay + this.#pings.waiting > 0;
    this.#link.connection?.setReading(!this.#inbox.full || waits());
  }

  #onInterrupt(): void {
    this.#inbox.arrivals.interrupt();
    this.#outbox.interrupt();
    this.#receipts.interrupt();
    this.#queries.interrupt();
    this.#account.interrupt();
    this.#peers.interrupt();
    this.#pings.fail(new BimipError(ErrorCode.TRY_AGAIN, "the connection was lost"));
  }

  #onEnd(error: BimipError): void {
    this.#outbox.abandon(error);
    this.#queries.abandon(error);
    this.#account.abandon(error);
    this.#peers.abandon(error);
    // close() has last words for it.
    if (!this.#isClosing) void this.#closeStore();
  }

  async #closeStore(): Promise<void> {
    await this.#stopHandlers();
    // Unless connect() was called meanwhile.
    if (this.state === "closed" && !this.#isClosing) await this.#store?.close();
  }

  /** Undefined: none runs. */
  #stopHandlers(): Promise<void> | undefined {
    const running = this.#inbox.stop();
    return running === undefined ? undefined : within(running, this.#closeTimeoutMs, () => undefined);
  }

  get #closeTimeoutMs(): number {
    return this.#options.closeTimeoutMs ?? 5_000;
  }

  #onStanza(connection: Connection, stanza: Stanza): void {
    if (this.#events.has("stanza")) this.#events.emit("stanza", stanza);
    this.#dispatch.take(connection, stanza);
    this.#steer();
  }
}
