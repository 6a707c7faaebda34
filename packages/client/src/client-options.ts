import type { Awareness, BimipError, Event, Logout, Signal, Stanza } from "@bimip/protocol";
import type { BackoffOptions } from "./backoff.js";
import type { ClientState } from "./client-state.js";
import type { IncomingMessage, IncomingPush } from "./incoming-message.js";
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
  /** Waits between attempts to connect, and before messages are sent again that the server could not store. */
  readonly reconnect?: BackoffOptions;
  /** Milliseconds of silence after which the server is asked whether it lives; default 25,000. Dead after twice that. */
  readonly pingIntervalMs?: number;
  /** Milliseconds that opening a connection may take; default 10,000. */
  readonly connectTimeoutMs?: number;
  /** Messages that may wait for their SENT at once, more wait here; default 256. */
  readonly maxInFlight?: number;
  /** Another way to open sockets; default: `ws` in Node, WebSocket in browsers. */
  readonly socket?: SocketFactory;
}

/** The events of a client and the value their handlers get. */
export interface ClientEvents {
  /** A message of others, or of another device of one's own; in log order, each once. */
  message: IncomingMessage;
  push: IncomingPush;
  /** Receipts, typing and the like; not RESUME and SENT, which the client keeps to itself. */
  signal: Signal;
  event: Event;
  /** One call a change, also for those that came together. */
  awareness: Awareness;
  /** What no `send` is rejected with: a lost connection (it comes back by itself), errors without an id. */
  error: BimipError;
  state: ClientState;
  logout: Logout;
  /** Every stanza, repeated ones and those for the client itself included, before the other events. */
  stanza: Stanza;
}
