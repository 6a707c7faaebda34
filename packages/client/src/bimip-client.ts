import type { ClientEvents } from "./client-options.js";
import type { ClientState } from "./client-state.js";
import type { Handler } from "./emitter.js";
import type { HistoryItem, HistoryOptions } from "./history.js";
import type { Sent } from "./outbox-entry.js";
import type { OutgoingMessage } from "./outgoing-message.js";
import type { Outgoing } from "./outgoing-states.js";
import type { PushSubscriptionLike, UnreadCounts } from "./queries-of-client.js";

/** One device of one user. Comes back by itself after every interruption, where it was. */
export interface BimipClient {
  readonly state: ClientState;
  /**
   * Connects and resolves when what was stored is delivered. Add the handlers before: what nobody listens to is not
   * acknowledged. Keeps trying while the server cannot be reached (`error` tells each time); rejects with a BimipError
   * when the server refuses us, such as 401, when the store cannot be opened (500), or on `close()`.
   */
  connect(): Promise<void>;
  /**
   * Resolves when the message is stored by the server (SENT). Survives reconnects: sent again with the same id, stored
   * once, in order per recipient; with a `store` also restarts. Rejects with a BimipError: what the server answered,
   * 422 for a wrong field, 413, 500 when the own store fails, 503 when the client ends before; what is in the store
   * then is sent on the next start nevertheless, and `outgoing` tells of it.
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
   * Throws a BimipError: 422 for a wrong option, 408 or 503 when no answer comes in time, what the server answered.
   */
  history(options?: HistoryOptions): AsyncGenerator<HistoryItem>;
  /** What others wrote after the last message that was read. Rejects as `history` throws. */
  unread(options?: { readonly with?: string }): Promise<UnreadCounts>;
  /** Registers this device for web push, with what the browser's PushManager gave. Rejects as `history` throws. */
  subscribePush(subscription: PushSubscriptionLike): Promise<void>;
  unsubscribePush(): Promise<void>;
  /**
   * Adds a handler; the answer removes it. An error that a handler throws, or its promise rejects with, is reported as
   * uncaught; an entry of the log that it failed on, and what follows, is not acknowledged and comes again after a
   * restart.
   */
  on<Name extends keyof ClientEvents>(name: Name, handler: Handler<ClientEvents[Name]>): () => void;
  /** The round trip of a PingPong in milliseconds. Rejects with 503 while not connected or when the connection goes. */
  ping(): Promise<number>;
  /** Ends the connection; resolves when the socket and the store are closed. What has no SENT yet rejects. */
  close(): Promise<void>;
}
