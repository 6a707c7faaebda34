import type { ContactsApi, PresenceApi } from "./awareness/api.js";
import type { ClientEvents } from "./client-options.js";
import type { ClientState } from "./client-state.js";
import type { Handler } from "./emitter.js";
import type { HistoryItem, HistoryOptions } from "./history.js";
import type { Sent } from "./outbox-entry.js";
import type { OutgoingMessage } from "./outgoing-message.js";
import type { Outgoing } from "./outgoing-states.js";
import type { PushSubscriptionLike, UnreadCounts } from "./queries-of-client.js";
import type { LogoutOptions } from "./tokens/logouts.js";
import type { OpenSession, Revocation, TokenCheck } from "./tokens/token-api.js";
import type { Tokens } from "./tokens/token-store.js";

/** One device of one user. Comes back by itself after every interruption, where it was. */
export interface BimipClient {
  readonly state: ClientState;
  /** Who is there, and what one is shown as oneself. */
  readonly presence: PresenceApi;
  /** Whom one knows. */
  readonly contacts: ContactsApi;
  /**
   * Connects and resolves when the server has handed over what was stored; handlers may still be at it. Add the handlers
   * before: while there is none of `message` or `push`, no message is taken from the log and nothing of it is
   * acknowledged, `error` says so, and the messages come once there is one. With one of them everything is taken, also
   * what has no handler of its own. Keeps trying while the server cannot be reached, whatever stands in the way (`error`
   * tells each time); rejects with a BimipError when the server refuses us, 401 or 403, when the store cannot be opened
   * (500), or on `close()`.
   */
  connect(): Promise<void>;
  /**
   * Resolves when the message is stored by the server (SENT). Survives reconnects: sent again with the same id, stored
   * once, in order per recipient; with a `store` also restarts. Rejects with a BimipError: what the server answered,
   * 422 for a wrong field, 413, 500 when the own store fails, 409 when the store is another account's, 503 when the client
   * ends before; what is in the store then is sent on the next start nevertheless, and `outgoing` tells of it. Without a
   * store it may be stored already: repeat it with the same id and timestamp, given by you, and it is stored once.
   */
  send(message: OutgoingMessage): Promise<Sent>;
  /** As `send`, for a PushNotification; needs a token with scope `push`. */
  push(notification: OutgoingMessage): Promise<Sent>;
  /** How far a message of one's own has come; of the last 10,000. */
  outgoing(id: string, to: string): Outgoing | undefined;
  /** Tells an account's online devices that we type, or record. Lost when either side is offline. Throws a 422. */
  typing(to: string): void;
  recording(to: string): void;
  /**
   * Messages and pushes of one's own log, page by page, with the receipts they got; the newest first by default.
   * Throws a BimipError: 422 for a wrong option, 408, 429 or 503 when no answer comes within `queryTimeoutMs`, what else
   * the server answered.
   */
  history(options?: HistoryOptions): AsyncGenerator<HistoryItem>;
  /** What others wrote after the last message that was read. Rejects as `history` throws. */
  unread(options?: { readonly with?: string }): Promise<UnreadCounts>;
  /** Registers this device for web push, with what the browser's PushManager gave. Rejects as `history` throws. */
  subscribePush(subscription: PushSubscriptionLike): Promise<void>;
  unsubscribePush(): Promise<void>;
  /** The open connections of the account, this one included. Rejects as `history` throws. */
  sessions(): Promise<OpenSession[]>;
  /**
   * Logs out this device, or what the options say: tokens of up to now are refused from now on, connections end. Resolves when
   * the server has done it. Without options, with `everywhere`, or with this device's name, this client ends as by `close()`, and
   * the tokens that it keeps are deleted; what was not confirmed stays in the store, for the next login. Rejects with a
   * BimipError: what the server answered, 404 for a session that is not open, 422 for options that exclude each other, 408,
   * 429 or 503 when no answer comes within `queryTimeoutMs`; then nothing has changed here.
   */
  logout(options?: LogoutOptions): Promise<void>;
  /**
   * New tokens now, without waiting until the old ones expire. The first time, without a `refreshToken`, a session whose token
   * has the scope `refresh` begins a family of them; from then on the client renews by it. Rejects with a BimipError: 403
   * where the server makes none, 401 where it refuses the refresh token, which ends the client; 408, 429, 503 as `logout`.
   */
  refresh(): Promise<Tokens>;
  /** Has tokens refused from now on, on every gateway. Rejects as `logout`, with 403 for what is not one's own. */
  revoke(revocation: Revocation): Promise<void>;
  /** Asks what the server thinks of a token; without one, of the token that this session has. Rejects as `logout`. */
  validate(token?: string): Promise<TokenCheck>;
  /**
   * Adds a handler; the answer removes it. What it throws, or its promise (or any thenable) rejects with, is reported as
   * uncaught, which ends a Node process that does not listen to that. An entry of the log that a handler failed on is
   * handed over again, to all handlers, after the waits of `reconnect`; what follows waits until they took it, and
   * nothing of it is acknowledged. So catch what must not stop the rest. Each entry comes at least once: a process that
   * ends between a handler's end and the store's next write gets it again.
   */
  on<Name extends keyof ClientEvents>(name: Name, handler: Handler<ClientEvents[Name]>): () => void;
  /** The round trip of a PingPong in milliseconds. Rejects with 503 while not connected or when the connection goes. */
  ping(): Promise<number>;
  /**
   * Takes nothing more from the log, waits for the handler that runs, at most `closeTimeoutMs`, tells the server and the
   * store how far the application has come, and ends the connection; resolves when the socket and the store are closed.
   * What has no SENT by then rejects. What was not handed over, or not taken, comes with the next `connect()` or process.
   * A handler of the log that awaits it waits for itself until the time is over.
   */
  close(): Promise<void>;
}
