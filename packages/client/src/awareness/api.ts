import type { AcceptOptions, Contact, RequestOptions } from "./contact.js";
import type { PresenceOptions, StatusOptions } from "./own-presence.js";
import type { Place, Presence, PresenceWord, Visibility } from "./presence.js";

/**
 * Who is there, and what one is shown as oneself. Others are known when they let one see them; changes come by
 * `client.on("presence", …)`, positions by `client.on("location", …)`.
 */
export interface PresenceApi {
  /**
   * true: what is known is kept up to date. false: not connected, or not told yet; values are the last that were known.
   * After a reconnect only what is different then is told as a change.
   */
  readonly live: boolean;
  /** Undefined: not known, may not be seen. */
  get(eid: string): Presence | undefined;
  /** All who are known, the ones who are offline too. A view: it changes with what happens. Of this account itself: what its
   * other devices made of it, and its status of `setStatus`. */
  all(): ReadonlyMap<string, Presence>;
  /**
   * How this client is to be shown, to all who may see it; a user is as present as their most present device. Said again on
   * each connection, while its `ttlS` lasts, so it may be called offline; `location` is said once, or not at all. "online" ends
   * a status of `setStatus` too; when it is said again it does not. With `to`: only to that account, lost when either side is offline. Throws a BimipError 422;
   * what the server answers, such as 403 for a `to` that may not see you, comes by `error`.
   */
  set(status: PresenceWord, options?: PresenceOptions): void;
  /**
   * A status of one's own making, a number from 6 on, beside the presence; of the user, the last one wins. Offline it is told
   * at the next connect. Told once, and again where the connection went before it can have arrived, unless another device
   * has set one since. `to` and what it throws: as `set`.
   */
  setStatus(status: number, options?: StatusOptions): void;
  /** Ends what `setStatus` set, on whichever device. What `set` said stays. */
  clearStatus(): void;
  /**
   * Who may see this user. Resolves when the server has confirmed it; all the user's devices are told by
   * `client.on("visibility", …)`. Asked again after a reconnect. The last call wins: a newer one takes the place of one that
   * is not confirmed, which then resolves or rejects as the newer one does. Rejects with a BimipError: 422, 408, 429 or 503
   * when no answer comes within `queryTimeoutMs`, 503 at once when the client is closed, what else the server answered.
   */
  setVisibility(visibility: Visibility): Promise<void>;
  /**
   * Where one is: to all who may see it, or with `to` to that account alone. Neither stored nor answered, dropped while
   * offline; of more than ten a second the newest goes out. Throws a BimipError 422.
   */
  shareLocation(place: Place, options?: { readonly to?: string }): void;
}

/**
 * Whom one knows. Each call resolves when the server has done it, is asked again after a reconnect and where the server asks
 * to try later, and rejects with a BimipError: 422 for a wrong field, 403 when they have blocked you, 409 when you have
 * blocked them, 404 when there is no request to answer, 408, 429 or 503 when no answer comes within `queryTimeoutMs`, 503 at
 * once when the client is closed, what else the server answered. What was done before is done again without harm.
 *
 * The first call, or a handler of `contact`, has the list loaded, on each connection from then on, and anew where the server
 * had missed something.
 */
export interface ContactsApi {
  /** true: the list is loaded and kept up to date. false: not yet, or not connected; values are the last that were known. */
  readonly live: boolean;
  /** Asks to be a contact of theirs, or to follow them. Where they have asked for the same, both are contacts at once. */
  request(eid: string, options?: RequestOptions): Promise<Contact>;
  /** Accepts what they asked. */
  accept(eid: string, options?: AcceptOptions): Promise<Contact>;
  /** Denies what they asked. */
  deny(eid: string): Promise<void>;
  /** Ends whatever stands between the two, requests too. */
  remove(eid: string): Promise<void>;
  /** Ends it and lets nothing through any more, in either direction. They are not told of the block. */
  block(eid: string): Promise<Contact>;
  unblock(eid: string): Promise<void>;
  /** Asks the server for all of them. */
  list(): Promise<Contact[]>;
  get(eid: string): Contact | undefined;
  /** As far as they are loaded, see `live`. A view: it changes with what happens. */
  all(): ReadonlyMap<string, Contact>;
}
