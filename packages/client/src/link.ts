import { BimipError, CloseCode, ErrorCode, type Stanza } from "@bimip/protocol";
import { defaultSockets } from "#socket";
import { backoffMs } from "./backoff.js";
import type { ClientOptions } from "./client-options.js";
import type { ClientPhase, ClientState } from "./client-state.js";
import { Connection, type ConnectionEnd } from "./connection.js";
import { judgeEnd } from "./connection-verdict.js";
import { ABNORMAL_CLOSE } from "./socket.js";
import { Waiter } from "./waiter.js";
import { within } from "./within.js";

/** A connection that held this long was a good one: the waits after it begin anew. */
const STABLE_MS = 5_000;
const CLOSE_TIMEOUT_MS = 2_000;
/** What we gave up may still reach the server so much later, and replace us. */
const GHOST_MS = 60_000;

/** What a link tells its owner. */
export interface LinkHandlers {
  /** Before each attempt, with its token. What it rejects with ends the link. */
  readonly prepare: (token: string) => Promise<void> | undefined;
  /** true: the server is to wait for a RESUME. */
  readonly resumesManually: () => boolean;
  /** The server let us in; the owner calls `online()` when it has come up to date. */
  readonly onAuthenticated: (connection: Connection) => void;
  readonly onStanza: (connection: Connection, stanza: Stanza) => void;
  /** There is no connection any more. */
  readonly onInterrupt: () => void;
  /** Ended for good, by `close()` or by the server. */
  readonly onEnd: (error: BimipError) => void;
  readonly onState: (state: ClientState) => void;
  readonly onError: (error: BimipError) => void;
}

/** One connection after the other: connects, waits and tries again, asks for new tokens, ends. */
export class Link {
  readonly #options: ClientOptions;
  readonly #handlers: LinkHandlers;
  readonly #online = new Waiter();
  readonly #closed = new Waiter();
  #phase: ClientPhase = { name: "offline" };
  /** Attempts since the last good connection. */
  #attempt = 0;
  /** The token that the server refused last, and its words. */
  #refused: { token: string; error: BimipError } | undefined;
  #loggedOut = false;
  /** Until when (performance.now) being replaced may be the work of a connection of our own. */
  #ghostUntilMs = 0;
  #closing: Connection | undefined;
  /** The server answered the last `close()`: it has read everything that was sent before. */
  closeAnswered = false;

  constructor(options: ClientOptions, handlers: LinkHandlers) {
    this.#options = options;
    this.#handlers = handlers;
  }

  get state(): ClientState {
    return this.#phase.name;
  }

  /** The connection, once the server let us in. */
  get connection(): Connection | undefined {
    const phase = this.#phase;
    return phase.name === "online" || phase.name === "replaying" ? phase.connection : undefined;
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

  /** The replay is complete. */
  online(connection: Connection): void {
    this.#refused = undefined;
    this.#setPhase({ name: "online", connection, sinceMs: performance.now() });
    this.#online.resolve();
  }

  close(): Promise<void> {
    const phase = this.#phase;
    const connection = "connection" in phase ? phase.connection : undefined;
    this.#end(undefined, new BimipError(ErrorCode.TRY_AGAIN, "the client was closed"));
    if (connection === undefined) return this.#closed.pending ? this.#closed.wait() : Promise.resolve();
    const closed = this.#closed.wait();
    this.#closing = connection;
    this.closeAnswered = false;
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
    if (before.name !== phase.name) this.#handlers.onState(phase.name);
  }

  get #connectTimeoutMs(): number {
    return this.#options.connectTimeoutMs ?? 10_000;
  }

  async #token(): Promise<string> {
    const { token } = this.#options;
    if (typeof token === "string") return token;
    return within(Promise.resolve(token()), this.#connectTimeoutMs, () => {
      throw new Error(`the token function did not answer within ${this.#connectTimeoutMs} ms`);
    });
  }

  /** One attempt: ask for the token, open the connection. */
  async #open(): Promise<void> {
    const connecting: ClientPhase = { name: "connecting" };
    this.#setPhase(connecting);
    let token: string;
    try {
      token = await this.#token();
    } catch (cause) {
      if (this.#phase !== connecting) return;
      return this.#retryLater(new BimipError(ErrorCode.TRY_AGAIN, "no token could be had", { cause }));
    }
    if (this.#phase !== connecting) return;
    if (token === this.#refused?.token) return this.#stop(this.#refused.error);
    try {
      await this.#handlers.prepare(token);
      if (this.#phase === connecting) this.#connect(token);
    } catch (cause) {
      if (this.#phase !== connecting) return;
      if (cause instanceof BimipError) return this.#stop(cause);
      const text = cause instanceof Error ? cause.message : String(cause);
      this.#stop(new BimipError(ErrorCode.FIELD_WRONG, `cannot connect: ${text}`, { cause }));
    }
  }

  #connect(token: string): void {
    const url = new URL(this.#options.url);
    if (this.#options.device !== undefined) url.searchParams.set("device", this.#options.device);
    const manual = this.#handlers.resumesManually();
    if (manual) url.searchParams.set("resume", "manual");
    this.#loggedOut = false;
    const connection: Connection = new Connection({
      sockets: this.#options.socket ?? defaultSockets,
      url: url.href,
      token,
      manual,
      connectTimeoutMs: this.#connectTimeoutMs,
      pingIntervalMs: this.#options.pingIntervalMs ?? 25_000,
      onAuthenticated: () => {
        if (!this.#isCurrent(connection)) return;
        this.#setPhase({ name: "replaying", connection });
        this.#handlers.onAuthenticated(connection);
      },
      onStanza: (stanza) => {
        if (!this.#isCurrent(connection)) return;
        if (stanza.kind === "logout") this.#loggedOut = true;
        this.#handlers.onStanza(connection, stanza);
      },
      onBadFrame: (error) => this.#handlers.onError(error),
      onEnd: (end) => this.#onEnd(connection, end, token),
    });
    this.#setPhase({ name: "connecting", connection });
  }

  #onEnd(connection: Connection, end: ConnectionEnd, token: string): void {
    const phase = this.#phase;
    if (connection === this.#closing) {
      this.closeAnswered = end.code === CloseCode.NORMAL;
      this.#closed.resolve();
    }
    if (!this.#isCurrent(connection)) return;
    if (phase.name === "online" && performance.now() - phase.sinceMs >= STABLE_MS) this.#attempt = 0;
    this.#handlers.onInterrupt();
    const isGhostly = end.code === CloseCode.REPLACED && performance.now() < this.#ghostUntilMs;
    if (isGhostly) this.#ghostUntilMs = 0; // once: two connections of one device must not replace each other for ever
    // The server may hear of its opening, or of its end, only after the next one's.
    const isGhost = end.error?.code === ErrorCode.TIMED_OUT || end.code === ABNORMAL_CLOSE;
    if (isGhost) this.#ghostUntilMs = performance.now() + GHOST_MS;
    const verdict = judgeEnd(end, this.#loggedOut);
    if (isGhostly && verdict.kind === "stop") return this.#retryLater(verdict.error);
    if (verdict.kind === "stop") return this.#stop(verdict.error);
    if (verdict.kind === "retry") return this.#retryLater(verdict.error);
    // Asked again once: a second refusal in a row is the last.
    if (typeof this.#options.token === "string" || this.#refused !== undefined) return this.#stop(verdict.error);
    this.#refused = { token, error: verdict.error };
    void this.#open();
  }

  #retryLater(error: BimipError): void {
    // Never at once: a gateway that ends, or a line that breaks, has many clients.
    const delayMs = backoffMs(++this.#attempt, this.#options.reconnect);
    this.#setPhase({ name: "offline", retry: setTimeout(() => void this.#open(), delayMs) });
    this.#handlers.onError(error);
  }

  /** Ends for good by the server's word. */
  #stop(error: BimipError): void {
    this.#end(error, error);
    this.#handlers.onError(error);
  }

  #end(why: BimipError | undefined, told: BimipError): void {
    this.#handlers.onInterrupt();
    this.#handlers.onEnd(told);
    this.#online.reject(told);
    this.#setPhase({ name: "closed", ...(why !== undefined && { error: why }) });
  }
}
