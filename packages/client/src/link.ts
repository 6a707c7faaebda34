import { BimipError, CloseCode, ErrorCode, type Stanza } from "@bimip/protocol";
import { defaultSockets } from "#socket";
import { backoffMs } from "./backoff.js";
import type { ClientOptions } from "./client-options.js";
import type { ClientPhase, ClientState } from "./client-state.js";
import { Connection, type ConnectionEnd } from "./connection.js";
import { judgeEnd } from "./connection-verdict.js";
import { retryAfterMs } from "./retry-after.js";
import { ABNORMAL_CLOSE } from "./socket.js";
import type { Credentials } from "./tokens/credentials.js";
import type { Credential } from "./tokens/frames.js";
import type { Tokens } from "./tokens/token-store.js";
import { Waiter } from "./waiter.js";

/** A connection that held this long was a good one: the waits after it begin anew. */
const STABLE_MS = 5_000;
const CLOSE_TIMEOUT_MS = 2_000;
/** What we gave up may still reach the server so much later, and replace us. */
const GHOST_MS = 60_000;
/** Share of a wait that the server asked for which is added at random: it asked others for the same. */
const WAIT_JITTER = 0.2;

/** What a link tells its owner. */
export interface LinkHandlers {
  /** Before each attempt, with the token that it begins with. What it rejects with ends the link. */
  readonly prepare: (token: string) => Promise<void> | undefined;
  /** true: the server is to wait for a RESUME. */
  readonly resumesManually: () => boolean;
  /** The server made new tokens as it let us in. */
  readonly onTokens: (tokens: Tokens) => void;
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
  readonly #credentials: Credentials;
  readonly #online = new Waiter();
  readonly #closed = new Waiter();
  #phase: ClientPhase = { name: "offline" };
  /** Attempts since the last good connection. */
  #attempt = 0;
  /** What the connection has its session with. */
  #credential: Credential = { kind: "token", token: "" };
  /** The server has logged this device out, with these words. */
  #loggedOut: string | undefined;
  /** The next end of the connection is as asked for, and the last. */
  #leaving = false;
  /** Until when (performance.now) being replaced may be the work of a connection of our own. */
  #ghostUntilMs = 0;
  #closing: Connection | undefined;
  /** The server answered the last `close()`: it has read everything that was sent before. */
  closeAnswered = false;

  constructor(options: ClientOptions, credentials: Credentials, handlers: LinkHandlers) {
    this.#options = options;
    this.#credentials = credentials;
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
      this.#credentials.begin();
      void this.#open();
    }
    return online;
  }

  /** The replay is complete. */
  online(connection: Connection): void {
    this.#credentials.accepted();
    this.#setPhase({ name: "online", connection, sinceMs: performance.now() });
    this.#online.resolve();
  }

  /** The session's token; "" = there is no session. */
  get token(): string {
    return this.connection !== undefined && this.#credential.kind === "token" ? this.#credential.token : "";
  }

  /** The session goes on with another token. */
  renewed(token: string): void {
    this.#credential = { kind: "token", token };
  }

  /** The server said that this device is logged out: it ends the connection, and there is no next one. */
  loggedOut(details: string): void {
    this.#loggedOut = details;
  }

  /** The same, but as asked for: it is no error. */
  leave(): void {
    this.#leaving = true;
  }

  /** Nothing lets us in any more. */
  refuse(error: BimipError): void {
    const { connection } = this;
    this.#stop(error);
    if (connection === undefined) return;
    this.#closing = connection;
    void this.#closed.wait();
    connection.close(CLOSE_TIMEOUT_MS);
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

  /** One attempt: ask for the token, open the connection. */
  async #open(): Promise<void> {
    const connecting: ClientPhase = { name: "connecting" };
    this.#setPhase(connecting);
    let credential: Credential;
    try {
      credential = await this.#credentials.next();
    } catch (cause) {
      if (this.#phase !== connecting) return;
      if (cause instanceof BimipError) return this.#stop(cause);
      return this.#retryLater(new BimipError(ErrorCode.TRY_AGAIN, "no token could be had", { cause }));
    }
    if (this.#phase !== connecting) return;
    try {
      await this.#handlers.prepare(credential.kind === "token" ? credential.token : credential.refreshToken);
      if (this.#phase === connecting) this.#connect(credential);
    } catch (cause) {
      if (this.#phase !== connecting) return;
      if (cause instanceof BimipError) return this.#stop(cause);
      const text = cause instanceof Error ? cause.message : String(cause);
      this.#stop(new BimipError(ErrorCode.FIELD_WRONG, `cannot connect: ${text}`, { cause }));
    }
  }

  #connect(credential: Credential): void {
    const url = new URL(this.#options.url);
    if (this.#options.device !== undefined) url.searchParams.set("device", this.#options.device);
    const manual = this.#handlers.resumesManually();
    if (manual) url.searchParams.set("resume", "manual");
    this.#loggedOut = undefined;
    this.#leaving = false;
    this.#credential = credential;
    const connection: Connection = new Connection({
      sockets: this.#options.socket ?? defaultSockets,
      url: url.href,
      credential,
      manual,
      connectTimeoutMs: this.#connectTimeoutMs,
      pingIntervalMs: this.#options.pingIntervalMs ?? 25_000,
      onTokens: (tokens) => {
        if (!this.#isCurrent(connection)) return;
        this.renewed(tokens.token);
        this.#handlers.onTokens(tokens);
      },
      onAuthenticated: () => {
        if (!this.#isCurrent(connection)) return;
        this.#setPhase({ name: "replaying", connection });
        this.#handlers.onAuthenticated(connection);
      },
      onStanza: (stanza) => {
        if (!this.#isCurrent(connection)) return;
        this.#handlers.onStanza(connection, stanza);
      },
      onBadFrame: (error) => this.#handlers.onError(error),
      onEnd: (end) => this.#onEnd(connection, end),
    });
    this.#setPhase({ name: "connecting", connection });
  }

  #onEnd(connection: Connection, end: ConnectionEnd): void {
    const phase = this.#phase;
    if (connection === this.#closing) {
      this.closeAnswered = end.code === CloseCode.NORMAL;
      this.#closed.resolve();
    }
    if (!this.#isCurrent(connection)) return;
    if (phase.name === "online" && performance.now() - phase.sinceMs >= STABLE_MS) this.#attempt = 0;
    if (this.#leaving) return this.#end(undefined, new BimipError(ErrorCode.TRY_AGAIN, "the client was logged out"));
    this.#handlers.onInterrupt();
    const isGhostly = end.code === CloseCode.REPLACED && performance.now() < this.#ghostUntilMs;
    if (isGhostly) this.#ghostUntilMs = 0; // once: two connections of one device must not replace each other for ever
    // The server may hear of its opening, or of its end, only after the next one's.
    const isGhost = end.error?.code === ErrorCode.TIMED_OUT || end.code === ABNORMAL_CLOSE;
    if (isGhost) this.#ghostUntilMs = performance.now() + GHOST_MS;
    const verdict = judgeEnd(end, this.#loggedOut);
    if (isGhostly && verdict.kind === "stop") return this.#retryLater(verdict.error);
    if (verdict.kind === "stop") return this.#stop(verdict.error);
    if (verdict.kind === "retry") return this.#retryLater(verdict.error, verdict.waitMs);
    // It was not answered: something on the way wants another token, and ours must not be given up for that.
    const isUnheard = this.#credential.kind === "refresh" && end.refused !== true;
    if (isUnheard) return this.#retryLater(verdict.error);
    if (!this.#credentials.refused(this.#credential, verdict.error)) return this.#stop(verdict.error);
    // At once, but not again and again: a server may refuse what it has made itself.
    if (this.#attempt > 0) return this.#openLater(verdict.error);
    this.#attempt++;
    void this.#open();
  }

  /** @param waitMs to wait at least */
  #retryLater(error: BimipError, waitMs = 0): void {
    this.#openLater(error, waitMs);
    this.#handlers.onError(error);
  }

  #openLater(error: BimipError, waitMs = 0): void {
    // Never at once: a gateway that ends, or a line that breaks, has many clients.
    const askedMs = Math.max(waitMs, retryAfterMs(error)) * (1 + WAIT_JITTER * Math.random());
    const delayMs = Math.max(askedMs, backoffMs(++this.#attempt, this.#options.reconnect));
    this.#setPhase({ name: "offline", retry: setTimeout(() => void this.#open(), delayMs) });
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
