import { type Awareness, AwarenessStatus, AwarenessType, type BimipError, ErrorCode } from "@bimip/protocol";
import { type BackoffOptions, backoffMs } from "../backoff.js";
import { randomId } from "../random-id.js";
import { retryAfterMs } from "../retry-after.js";
import { OwnStatus } from "./own-status.js";
import { left, ONLINE, type OwnWord, type StatusWord, wordOf } from "./own-word.js";
import { type Place, type PresenceWord, STATUS_CODES, type Visibility } from "./presence.js";
import { awarenessFrame, type OwnAwareness } from "./stanzas.js";
import { SupersededIds } from "./superseded-ids.js";

/** What goes with a status of one's own. */
export interface StatusOptions {
  /** Words for it. */
  readonly details?: string;
  /** Seconds until it ends by itself, whole ones; default 0: it does not. */
  readonly ttlS?: number;
  /** Only to this account, and only if it is online. */
  readonly to?: string;
}

export interface PresenceOptions extends StatusOptions {
  /** Where one is, told once. */
  readonly location?: Place;
  /** Narrows who may see this device while this holds; it never widens. */
  readonly visibility?: Visibility;
}

export interface OwnPresenceOptions {
  /** Waits before what the server could not take is sent again. */
  readonly backoff: BackoffOptions;
  /** Resolves when the server has read what was sent before; rejects when the connection goes first. */
  readonly ping: () => Promise<unknown>;
  /** A status of one's own changes; the server does not tell that to the device that said so. */
  readonly onStatus: (awareness: Awareness) => void;
}

/**
 * Tells how one wants to be shown, again on each connection: a presence is one of a connection. A status is the user's,
 * whatever the device, and another device may set one later: it is told once, and again only if it did not arrive.
 *
 * ONLINE ends a status, so on a connection it waits, as statuses do, for the snapshot that tells which one there is.
 */
export class OwnPresence {
  readonly #o: OwnPresenceOptions;
  readonly #known = new OwnStatus();
  readonly #superseded = new SupersededIds();
  #send: ((frame: Uint8Array) => void) | undefined;
  /** No snapshot came on this connection yet. */
  #held = true;
  /** Undefined: online and no more, as every connection is by itself. */
  #presence: OwnWord | undefined;
  #presenceDue = false;
  /** Goes with the next presence of this connection. */
  #place: Place | undefined;
  /** Waits to be told. */
  #status: StatusWord | undefined;
  /** Of what was told last, in case that the server could not take it; "" = nothing on this connection. */
  readonly #ids = { presence: "", status: "" };
  #toldStatus: StatusWord | undefined;
  #refusals = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(options: OwnPresenceOptions) {
    this.#o = options;
  }

  set(word: PresenceWord, { to, location, ...options }: PresenceOptions): void {
    const own = { type: AwarenessType.PRESENCE, status: STATUS_CODES[word], ...options };
    const { awareness, frame } = awarenessFrame(randomId(), { ...own, location, to });
    if (to !== undefined) return this.#send?.(frame);
    const isPlain = word === "online" && awareness.details === "" && awareness.visibility === 0;
    this.#presence = isPlain ? undefined : wordOf(own);
    this.#place = this.#send === undefined ? undefined : location;
    this.#presenceDue = true;
    if (word === "online") {
      this.#status = "none";
      this.#o.onStatus(awareness);
    }
    this.#flush();
  }

  setStatus(status: number, { to, ...options }: StatusOptions): void {
    const own = { type: AwarenessType.STATUS, status, ...options };
    const { awareness, frame } = awarenessFrame(randomId(), { ...own, to });
    if (to !== undefined) return this.#send?.(frame);
    this.#status = wordOf(own);
    this.#o.onStatus(awareness);
    this.#flush();
  }

  clearStatus(): void {
    this.#status = "none";
    this.#o.onStatus(awarenessFrame("", ONLINE).awareness);
    this.#flush();
  }

  open(send: (frame: Uint8Array) => void): void {
    this.#send = send;
    this.#held = true;
    this.#refusals = 0;
    this.#presenceDue = true;
    this.#flush();
  }

  interrupt(): void {
    this.#send = undefined;
    this.#place = undefined;
    this.#known.interrupt();
    this.#superseded.clear();
    Object.assign(this.#ids, { presence: "", status: "" });
    clearTimeout(this.#retry);
  }

  /** What the server says of the user's status. */
  hear(word: StatusWord): void {
    this.#known.hear(word);
  }

  /** A snapshot was taken: what waited for it is told. */
  release(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#status ??= this.#known.unconfirmed;
    this.#flush();
  }

  /** What a snapshot that comes now may not know yet of one's own status; ONLINE: that there is none. */
  get newest(): Awareness | undefined {
    const word = this.#status ?? this.#known.unconfirmed;
    const own = word === "none" ? ONLINE : left(word, Date.now());
    return own === undefined ? undefined : awarenessFrame("", own).awareness;
  }

  /** An error that names a stanza. true if it goes again, or need not. */
  refuse(error: BimipError): boolean {
    const { id = "", code } = error;
    const [isPresence, isStatus] = [id === this.#ids.presence, id === this.#ids.status];
    if (id === "" || (!isPresence && !isStatus)) return this.#superseded.excuses(error);
    if (code !== ErrorCode.TRY_AGAIN && code !== ErrorCode.TOO_FAST) {
      // It would be refused on each connection.
      if (isPresence) this.#presence = undefined;
      if (isStatus) this.#known.refused();
      return false;
    }
    if (isPresence) this.#presenceDue = true;
    if (isStatus) this.#status ??= this.#toldStatus;
    clearTimeout(this.#retry);
    const waitMs = Math.max(retryAfterMs(error), backoffMs(++this.#refusals, this.#o.backoff));
    this.#retry = setTimeout(() => this.#flush(), waitMs);
    return true;
  }

  /** Tells what waits to be told. */
  #flush(): void {
    if (this.#send === undefined) return;
    const presence = left(this.#presence, Date.now());
    if (presence === undefined) this.#presence = undefined;
    const endsNothing = presence !== undefined && presence.status !== AwarenessStatus.ONLINE && this.#status !== "none";
    if (this.#held && !endsNothing) return;
    if (this.#presenceDue || this.#status === "none") this.#tellPresence(presence);
    if (this.#held) return;
    const word = this.#status;
    const status = word === "none" ? undefined : left(word, Date.now());
    if (word !== undefined && status !== undefined) this.#tellStatus(word, status, "status");
    this.#status = undefined;
  }

  #tellPresence(presence: OwnAwareness | undefined): void {
    const ends = this.#status === "none";
    const location = this.#place;
    const own = presence ?? (ends || location !== undefined ? ONLINE : undefined);
    this.#place = undefined;
    this.#presenceDue = false;
    if (own === undefined) return;
    if (own.status === AwarenessStatus.ONLINE) {
      // A status that still holds is told again behind it.
      const { current } = this.#known;
      this.#tellStatus("none", { ...own, location }, "presence", ...(ends ? (["status"] as const) : []));
      if (this.#status === undefined && current !== "none") this.#status = current;
      return;
    }
    // ONLINE ends it, and with it what this device is shown as.
    if (ends) this.#tellStatus("none", ONLINE, "status");
    this.#tell({ ...own, location }, "presence");
  }

  /** @param word what the user's status is behind it */
  #tellStatus(word: StatusWord, own: OwnAwareness, ...whats: readonly ("presence" | "status")[]): void {
    this.#tell(own, ...whats);
    if (whats.includes("status")) this.#toldStatus = word;
    this.#known.say(word, this.#o.ping());
  }

  #tell(own: OwnAwareness, ...whats: readonly ("presence" | "status")[]): void {
    const id = randomId();
    for (const what of whats) {
      this.#superseded.add(this.#ids[what]);
      this.#ids[what] = id;
    }
    this.#send?.(awarenessFrame(id, own).frame);
  }
}
