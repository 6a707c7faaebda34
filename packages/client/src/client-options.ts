import type { Awareness, BimipError, Event, Logout, Signal, Stanza } from "@bimip/protocol";
import type { ContactChange, ContactRequest } from "./awareness/contact.js";
import type { LocationChange, PresenceChange, Visibility } from "./awareness/presence.js";
import type { BackoffOptions } from "./backoff.js";
import type { ClientState } from "./client-state.js";
import type { ClientStore } from "./client-store.js";
import type { IncomingMessage, IncomingPush } from "./incoming-message.js";
import type { Outgoing } from "./outgoing-states.js";
import type { SocketFactory } from "./socket.js";
import type { Tokens, TokenStore } from "./tokens/token-store.js";

/** A function is asked anew for each connection, and before the token that it gave expires. */
export type TokenSource = string | (() => string | Promise<string>);

export interface ClientOptions {
  /** `ws://…/v1/ws` or `wss://…/v1/ws`. */
  readonly url: string;
  /**
   * A JWT, or a function that gives one. With a function the client asks for a new one in time and goes on with it on the open
   * connection; with a string, and no `refreshToken`, it stops when the token is refused or expires. May be left out beside
   * a `refreshToken`.
   */
  readonly token?: TokenSource;
  /**
   * Where the server makes new tokens itself: what it gave last, or a store of it. The client renews its tokens in time, on the open
   * connection or as it connects, and gives each new pair to the store, then to the `tokens` event; what replaced a refresh
   * token is kept before it is used itself. So a handler of `tokens` that keeps them answers with a promise of that. With an
   * empty store the client connects with `token`, which needs the scope `refresh`, and has the first pair made. A refresh
   * token that the server refuses ends the client with a BimipError 401, and the store is emptied: the user has to log in.
   */
  readonly refreshToken?: string | TokenStore;
  /** Name of this device; needed where the token names none. */
  readonly device?: string;
  /**
   * The account. Needed where the token is not a JWT that can be read; useful beside a token function with a store: what
   * is sent before the first token came counts as queued, and survives the process, only once the account is known.
   * A client is that of one account: another one's token, or store, ends it with a BimipError 409.
   */
  readonly eid?: string;
  /**
   * Where unconfirmed messages, receipts and the position in the log survive the process: `fileStore(path)` in Node,
   * `indexedDbStore(name)` in browsers; one per account and device. Default: nothing survives.
   */
  readonly store?: ClientStore;
  /**
   * automatic (default): what is handed over is acknowledged, and DELIVERED told to its sender, once the handlers of
   * `message` and `push` are through, their promises included; what they say meanwhile, as `read()`, is told then too.
   * manual: once its `delivered()`, `read()`, `played()` or `forwarded()` was called. Always in log order: what is not
   * acknowledged holds back all that follows.
   *
   * Handlers of the log (`message`, `push`, `event`, `signal`) run one entry after the other: the next is handed over
   * when the promises of the one before are settled. That keeps the log's order for asynchronous handlers, and costs
   * throughput: one that takes 20 ms lets 50 entries a second pass, and one that never settles stops all. Where order
   * does not matter, take `manual`, start the work, answer nothing, and call `delivered()` when it is done. While some 250
   * entries wait for handlers the client reads no more; if it has to, since it waits for an answer itself, it keeps some
   * 1,000 and asks the server for the rest again. Browsers cannot make a server wait: there what waits takes memory. A
   * handler must not wait for what comes behind its entry.
   */
  readonly acknowledge?: "automatic" | "manual";
  /** false: nothing is taken from the log, for clients that only send. Default true. */
  readonly receive?: boolean;
  /**
   * Where the first connect begins, unless the store knows better. cursor (default): behind what this device
   * acknowledged. everything: with the oldest entry that is retained, own ones included, until all of it came once.
   */
  readonly begin?: "cursor" | "everything";
  /**
   * Waits before each attempt to connect again, before what the server could not store or answer is sent again, and
   * before an entry is handed over again that a handler failed on.
   */
  readonly reconnect?: BackoffOptions;
  /**
   * Milliseconds of silence after which the server is asked whether it lives; default 25,000. It is given up after two to
   * three times that.
   */
  readonly pingIntervalMs?: number;
  /** Milliseconds that opening a connection may take, and a token function before; default 10,000. */
  readonly connectTimeoutMs?: number;
  /**
   * Milliseconds that `close()` waits for a handler that runs, and then for new tokens that were asked for; default 5,000. What the
   * handler was given comes again after that.
   */
  readonly closeTimeoutMs?: number;
  /**
   * Milliseconds that a query may take, or what is asked of contacts, visibility, sessions and tokens; default 15,000. Waiting
   * for a connection is included, for its turn where the server has eight to answer, and for another try where it is too
   * busy (429, 503).
   */
  readonly queryTimeoutMs?: number;
  /**
   * Messages that may wait for their SENT at once, more wait here; default 256. After a server has said that they come too
   * fast (429), nothing is sent until the time that it names, and for a while only a few at once.
   */
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
  /** A message of others, or of another device of one's own; in log order, each once unless a handler fails. */
  message: IncomingMessage;
  push: IncomingPush;
  /**
   * How far a message of one's own has come, from this device or another; each state once, never back. Also with a
   * store that holds per process: after a restart a receipt that comes late, such as another device's DELIVERED after
   * READ, is told.
   */
  outgoing: Outgoing;
  /** Receipts, typing and the like; not RESUME and SENT, which the client keeps to itself. */
  signal: Signal;
  event: Event;
  /** One call a change, also for those that came together, as they come; `presence` is what they mean. */
  awareness: Awareness;
  /** Somebody's presence differs from what was known. Positions are told by `location`. */
  presence: PresenceChange;
  /** Somebody shared where they are. */
  location: LocationChange;
  /** Who may see this user, as one of its devices has set it, this one included. */
  visibility: Visibility;
  /** How one stands with somebody has changed, whoever did it. A handler has the list of contacts loaded. */
  contact: ContactChange;
  /** Somebody asks to follow you, or to be a contact; each request once, though the server repeats it until it is answered. */
  contactRequest: ContactRequest;
  gap: Gap;
  /**
   * What no call is rejected with: a lost connection (it comes back by itself), errors without an id, that a handler
   * failed, that nobody listens to what came.
   */
  error: BimipError;
  state: ClientState;
  /**
   * The server made new tokens: keep them like a password, in place of the older ones. Handed over again if a handler fails; the
   * new refresh token is used only after.
   */
  tokens: Tokens;
  /** This device was logged out from elsewhere, or replaced: the client ends. */
  logout: Logout;
  /**
   * Every stanza as it comes, repeated ones and those for the client itself included, before the other events. Nothing is
   * acknowledged for it.
   */
  stanza: Stanza;
}
