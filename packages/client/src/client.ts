import {
  BimipError,
  encodeStanza,
  ErrorCode,
  LIMITS,
  PingPongType,
  type Signal,
  SignalStatus,
  SignalType,
  type Stanza,
  validateStanza,
} from "@bimip/protocol";
import { defaultSockets } from "#socket";
import { backoffMs } from "./backoff.js";
import type { ClientEvents, ClientOptions } from "./client-options.js";
import type { ClientPhase, ClientState } from "./client-state.js";
import { Connection, type ConnectionEnd, toError } from "./connection.js";
import { judgeEnd } from "./connection-verdict.js";
import { Emitter } from "./emitter.js";
import { toIncoming } from "./incoming-message.js";
import { pingPongFrame } from "./keepalive.js";
import { LogPosition, logIndexOf } from "./log-position.js";
import { Outbox, type Sent } from "./outbox.js";
import { type OutgoingMessage, toMessage } from "./outgoing-message.js";
import { PingTimes } from "./ping-times.js";
import { Waiter } from "./waiter.js";

/** A connection that held this long was a good one: the next attempt after it comes at once. */
const STABLE_MS = 5_000;
const CLOSE_TIMEOUT_MS = 2_000;
const EVERYTHING = -1n;

/** One device of one user. Comes back by itself after every interruption, where it was. */
export interface BimipClient {
  readonly state: ClientState;
  /**
   * Connects and resolves when what was stored is delivered. Keeps trying while the server cannot be reached
   * (`error` tells each time); rejects with a BimipError when the server refuses us, such as 401, or on `close()`.
   */
  connect(): Promise<void>;
  /**
   * Resolves when the message is stored (SENT). Survives reconnects: sent again with the same id, stored once, in
   * order. Rejects with a BimipError: what the server answered, 422 for a wrong field, 503 when the client ends before.
   */
  send(message: OutgoingMessage): Promise<Sent>;
  /** Adds a handler; the answer removes it. An error that a handler throws is reported as uncaught. */
  on<Name extends keyof ClientEvents>(name: Name, handler: (value: ClientEvents[Name]) => void): () => void;
  /** The round trip of a PingPong in milliseconds. Rejects with 503 while not connected or when the connection goes. */
  ping(): Promise<number>;
  /** Ends the connection; resolves when the socket is closed. What has no SENT yet rejects. */
  close(): Promise<void>;
}

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

class Client implements BimipClient {
  readonly #options: ClientOptions;
  readonly #events = new Emitter<ClientEvents>();
  readonly #outbox: Outbox;
  readonly #position = new LogPosition();
  readonly #pings = new PingTimes();
  readonly #online = new Waiter();
  readonly #closed = new Waiter();
  #phase: ClientPhase = { name: "offline" };
  /** Attempts since the last good connection. */
  #attempt = 0;
  /** The token that the server refused last, and its words. */
  #refused: { token: string; error: BimipError } | undefined;
  #loggedOut = false;
  #closing: Connection | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#outbox = new Outbox({ maxInFlight: options.maxInFlight ?? 256, backoff: options.reconnect ?? {} });
  }

  get state(): ClientState {
    return this.#phase.name;
  }

  on<Name extends keyof ClientEvents>(name: Name, handler: (value: ClientEvents[Name]) => void): () => void {
    return this.#events.on(name, handler);
  }

  connect(): Promise<void> {
    if (this.#phase.name === "online") return Promise.resolve();
    const online = this.#online.wait();
    if (this.#phase.name === "closed" || (this.#phase.name === "offline" && this.#phase.retry === undefined)) {
      this.#attempt = 0;
      this.#refused = undefined;
      void this.#open();
    }
    return online;
  }

  async send(message: OutgoingMessage): Promise<Sent> {
    if (this.#phase.name === "closed") throw new BimipError(ErrorCode.TRY_AGAIN, "the client is closed");
    const value = toMessage(message);
    const problem = validateStanza({ kind: "message", value });
    if (problem !== undefined) throw problem;
    const frame = encodeStanza("message", value);
    // Larger ones would not be refused but cut by the transport, connection after connection.
    if (frame.length > LIMITS.frameBytes) {
      throw new BimipError(ErrorCode.TOO_LARGE, `the message has ${frame.length} bytes`, { id: value.id });
    }
    return this.#outbox.add(value.id, value.to?.eid ?? "", frame);
  }

  ping(): Promise<number> {
    const phase = this.#phase;
    if (phase.name !== "online" && phase.name !== "replaying") {
      return Promise.reject(new BimipError(ErrorCode.TRY_AGAIN, "not connected"));
    }
    return this.#pings.start((id) => phase.connection.send(pingPongFrame(PingPongType.PING, id)));
  }

  close(): Promise<void> {
    const phase = this.#phase;
    const connection = "connection" in phase ? phase.connection : undefined;
    this.#end(undefined, new BimipError(ErrorCode.TRY_AGAIN, "the client was closed"));
    if (connection === undefined) return this.#closed.pending ? this.#closed.wait() : Promise.resolve();
    const closed = this.#closed.wait();
    this.#closing = connection;
    connection.close(CLOSE_TIMEOUT_MS);
    return closed;
  }

  /** false for what an old connection still says while it closes. */
  #isCurrent(connection: Connection): boolean {
    return "connection" in this.#phase && this.#phase.connection === connection;
  }

  #setPhase(phase: ClientPhase): void {
    const before = this.#phase;
    if (before.name === "offline") clearTimeout(before.retry);
    this.#phase = phase;
    if (before.name !== phase.name) this.#events.emit("state", phase.name);
  }

  /** One attempt: ask for the token, open the connection. */
  async #open(): Promise<void> {
    const connecting: ClientPhase = { name: "connecting" };
    this.#setPhase(connecting);
    let token: string;
    try {
      token = typeof this.#options.token === "string" ? this.#options.token : await this.#options.token();
    } catch (cause) {
      if (this.#phase !== connecting) return;
      return this.#retryLater(new BimipError(ErrorCode.TRY_AGAIN, "no token could be had", { cause }), true);
    }
    if (this.#phase !== connecting) return;
    if (token === this.#refused?.token) return this.#stop(this.#refused.error);
    try {
      this.#connect(token);
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause);
      this.#stop(new BimipError(ErrorCode.FIELD_WRONG, `cannot connect: ${text}`, { cause }));
    }
  }

  #connect(token: string): void {
    const resumeAt = this.#position.index;
    const url = new URL(this.#options.url);
    if (this.#options.device !== undefined) url.searchParams.set("device", this.#options.device);
    // At 0 nothing was ever received: the server knows best where this device begins.
    if (resumeAt > 0n) url.searchParams.set("resume", "manual");
    this.#loggedOut = false;
    const connection: Connection = new Connection({
      sockets: this.#options.socket ?? defaultSockets,
      url: url.href,
      token,
      connectTimeoutMs: this.#options.connectTimeoutMs ?? 10_000,
      pingIntervalMs: this.#options.pingIntervalMs ?? 25_000,
      onAuthenticated: () => {
        if (!this.#isCurrent(connection)) return;
        this.#setPhase({ name: "replaying", connection });
        if (resumeAt > 0n) connection.resume(resumeAt);
      },
      onStanza: (stanza) => {
        if (this.#isCurrent(connection)) this.#onStanza(connection, stanza);
      },
      onBadFrame: (error) => this.#events.emit("error", error),
      onEnd: (end) => this.#onEnd(connection, end, token),
    });
    this.#setPhase({ name: "connecting", connection });
  }

  #onStanza(connection: Connection, stanza: Stanza): void {
    if (this.#events.has("stanza")) this.#events.emit("stanza", stanza);
    if (!this.#position.accept(logIndexOf(stanza))) return;
    const replayed = this.#phase.name === "replaying";
    switch (stanza.kind) {
      case "message":
        return this.#events.emit("message", toIncoming(stanza.value, replayed));
      case "pushNotification":
        return this.#events.emit("push", toIncoming(stanza.value, replayed));
      case "signal":
        return this.#onSignal(connection, stanza.value);
      case "event":
        return this.#events.emit("event", stanza.value);
      case "awareness":
        return this.#events.emit("awareness", stanza.value);
      case "body":
        for (const awareness of stanza.value.awarenessList) this.#events.emit("awareness", awareness);
        return;
      case "error":
        return this.#onError(toError(stanza.value));
      case "logout":
        this.#loggedOut = true;
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
      case "page":
        return;
    }
  }

  #onSignal(connection: Connection, signal: Signal): void {
    if (signal.status === SignalStatus.RESUME) return this.#onResume(connection, signal);
    if (signal.status !== SignalStatus.SENT || signal.type !== SignalType.RESPONSE) {
      return this.#events.emit("signal", signal);
    }
    this.#position.ownCopy(signal.logId);
    this.#outbox.confirm({
      id: signal.id,
      to: signal.to?.eid ?? "",
      index: Number(signal.monotonicId),
      logIndex: Number(signal.logId),
    });
  }

  #onResume(connection: Connection, signal: Signal): void {
    if (this.#phase.name !== "replaying") return;
    if (signal.type === SignalType.ERROR) {
      // Our position lies beyond the head: the log is another one now, and all of it is new to us.
      this.#position.reset();
      return connection.resume(EVERYTHING);
    }
    this.#position.replayed(signal.monotonicId, signal.epoch);
    this.#refused = undefined;
    this.#setPhase({ name: "online", connection, sinceMs: performance.now() });
    this.#online.resolve();
    this.#outbox.open((frame) => connection.send(frame));
  }

  #onError(error: BimipError): void {
    const comesAgain = error.code === ErrorCode.TRY_AGAIN || error.code === ErrorCode.TOO_FAST;
    const ours = comesAgain && error.id !== undefined ? this.#outbox.postpone(error.id) : this.#outbox.refuse(error);
    // A 401 is followed by the close, which says it again.
    if (!ours && error.code !== ErrorCode.NOT_AUTHENTICATED) this.#events.emit("error", error);
  }

  #onEnd(connection: Connection, end: ConnectionEnd, token: string): void {
    const phase = this.#phase;
    if (connection === this.#closing) this.#closed.resolve();
    if (!this.#isCurrent(connection)) return;
    if (phase.name === "online" && performance.now() - phase.sinceMs >= STABLE_MS) this.#attempt = 0;
    this.#interrupt();
    const verdict = judgeEnd(end, this.#loggedOut);
    if (verdict.kind === "stop") return this.#stop(verdict.error);
    if (verdict.kind === "retry") return this.#retryLater(verdict.error, verdict.wait);
    // Asked again once: a second refusal in a row is the last.
    if (typeof this.#options.token === "string" || this.#refused !== undefined) return this.#stop(verdict.error);
    this.#refused = { token, error: verdict.error };
    void this.#open();
  }

  #interrupt(): void {
    this.#outbox.interrupt();
    this.#pings.fail(new BimipError(ErrorCode.TRY_AGAIN, "the connection was lost"));
  }

  #retryLater(error: BimipError, wait: boolean): void {
    if (wait && this.#attempt === 0) this.#attempt = 1;
    const delayMs = this.#attempt === 0 ? 0 : backoffMs(this.#attempt, this.#options.reconnect);
    this.#attempt++;
    this.#setPhase({ name: "offline", retry: setTimeout(() => void this.#open(), delayMs) });
    this.#events.emit("error", error);
  }

  /** Ends for good by the server's word. */
  #stop(error: BimipError): void {
    this.#end(error, error);
    this.#events.emit("error", error);
  }

  #end(why: BimipError | undefined, told: BimipError): void {
    this.#interrupt();
    this.#outbox.abandon(told);
    this.#online.reject(told);
    this.#setPhase({ name: "closed", ...(why !== undefined && { error: why }) });
  }
}
