import type { Awareness, BimipError, Event, Logout, Signal, Stanza } from "@bimip/protocol";
import type { BackoffOptions } from "./backoff.js";
import type { ClientState } from "./client-state.js";
import type { ClientStore } from "./client-store.js";
import type { IncomingMessage, IncomingPush } from "./incoming-message.js";
import type { Outgoing } from "./outgoing-states.js";
import type { SocketFactory } from "./socket.js";

/** Asked anew for each connection. */
export type TokenSource = string | (() => string | Promise<string>);

export interface ClientOptions {
  /** `ws://…/v1/ws` or `wss://…/v1/ws`. */
  readonly url: string;
  /** A JWT, or a function that gives one; with a string the client stops when the token is refused or expires. */
  readonly token: TokenSource;
  /** Name of this device; needed where the token names none. */
  readonly device?: string;
  /** The account; needed only where the token is not a JWT that can be read. */
  readonly eid?: string;
  /**
   * Where unconfirmed messages, receipts and the position in the log survive the process: `fileStore(path)` in Node,
   * `indexedDbStore(name)` in browsers; one per account and device. Default: nothing survives.
   */
  readonly store?: ClientStore;
  /**
   * automatic (default): what is handed over is acknowledged, and DELIVERED told to its sender, once the handlers of
   * `message` and `push` are through, their promises included. manual: once its `delivered()`, `read()`, `played()`
   * or `forwarded()` was called. Always in log order: what is not acknowledged holds back all that follows.
   */
  readonly acknowledge?: "automatic" | "manual";
  /** false: nothing is taken from the log, for clients that only send. Default true. */
  readonly receive?: boolean;
  /**
   * Where the first connect begins, unless the store knows better. cursor (default): behind what this device
   * acknowledged. everything: with the oldest entry that is retained, own ones included.
   */
  readonly begin?: "cursor" | "everything";
  /** Waits between attempts to connect, and before messages are sent again that the server could not store. */
  readonly reconnect?: BackoffOptions;
  /** Milliseconds of silence after which the server is asked whether it lives; default 25,000. Dead after twice that. */
  readonly pingIntervalMs?: number;
  /** Milliseconds that opening a connection may take; default 10,000. */
  readonly connectTimeoutMs?: number;
  /** Milliseconds that a query may take, waiting for a connection included; default 15,000. */
  readonly queryTimeoutMs?: number;
  /** Messages that may wait for their SENT at once, more wait here; default 256. */
  readonly maxInFlight?: number;
  /** Another way to open sockets; default: `ws` in Node, WebSocket in browsers. */
  readonly socket?: SocketFactory;
}

/** Something is missing in the log: entries were trimmed or expired before this device had them, or the log is a new one. */
export interface Gap {
  /** What happened, in the server's words. */
  readonly details: string;
  /** The oldest index that is still there; 0 = none. */
  readonly firstId: number;
  /** Changes when the log was made anew. */
  readonly epoch: number;
}

/** The events of a client and the value their handlers get. */
export interface ClientEvents {
  /** A message of others, or of another device of one's own; in log order, each once. */
  message: IncomingMessage;
  push: IncomingPush;
  /** How far a message of one's own has come, from this device or another; each state once, never back. */
  outgoing: Outgoing;
  /** Receipts, typing and the like; not RESUME and SENT, which the client keeps to itself. */
  signal: Signal;
  event: Event;
  /** One call a change, also for those that came together. */
  awareness: Awareness;
  gap: Gap;
  /** What no call is rejected with: a lost connection (it comes back by itself), errors without an id. */
  error: BimipError;
  state: ClientState;
  logout: Logout;
  /** Every stanza, repeated ones and those for the client itself included, before the other events. */
  stanza: Stanza;
}
