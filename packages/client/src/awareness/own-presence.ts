import { type Awareness, AwarenessStatus, AwarenessType, type BimipError, ErrorCode } from "@bimip/protocol";
import { type BackoffOptions, backoffMs } from "../backoff.js";
import { randomId } from "../random-id.js";
import { type CustomStatus, type Place, type PresenceWord, STATUS_CODES, type Visibility } from "./presence.js";
import { awarenessFrame, type OwnAwareness } from "./stanzas.js";

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
  /** The status of one's own as it is known here, whichever device set it. */
  readonly custom: () => CustomStatus | undefined;
  /** A status of one's own changes; the server does not tell that to the device that said so. */
  readonly onStatus: (awareness: Awareness) => void;
}

/** What this client wants to be shown as. */
interface Wanted {
  readonly own: OwnAwareness;
  /** Epoch milliseconds. */
  readonly untilMs: number;
}

/** A snapshot that comes so soon after a status was told may not know of it yet, and the server does not tell us. */
const SNAPSHOT_LAG_MS = 5_000;

/** Tells how one wants to be shown, again on each connection: a presence is one of a connection. */
export class OwnPresence {
  readonly #o: OwnPresenceOptions;
  #send: ((frame: Uint8Array) => void) | undefined;
  /** Undefined: online and no more, as every connection is by itself. */
  #presence: Wanted | undefined;
  #presenceDue = false;
  /** Goes with the next presence, if that goes at once. */
  #place: Place | undefined;
  /** Waits to be told. A user's, whatever the device: told once, since another device may set one later. */
  #status: Wanted | "none" | undefined;
  /** What was told last, in case that the server could not take it. */
  readonly #told: { presenceId: string; statusId: string; status: Wanted | "none" | undefined; statusAtMs: number } = {
    presenceId: "",
    statusId: "",
    status: undefined,
    statusAtMs: 0,
  };
  /** Was told, but the server may not have read it. */
  #unread: Wanted | "none" | undefined;
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
    this.#presence = isPlain ? undefined : wanted(own);
    this.#place = this.#send === undefined ? undefined : location;
    this.#presenceDue = true;
    if (word === "online") {
      // That ends a status. With something to say beside, it is the presence that says so.
      this.#status = isPlain && this.#place === undefined ? "none" : undefined;
      this.#unread = undefined;
      Object.assign(this.#told, { statusId: "", status: "none", statusAtMs: Date.now() });
      this.#o.onStatus(awareness);
    }
    this.#flush();
  }

  setStatus(status: number, { to, ...options }: StatusOptions): void {
    const own = { type: AwarenessType.STATUS, status, ...options };
    const { awareness, frame } = awarenessFrame(randomId(), { ...own, to });
    if (to !== undefined) return this.#send?.(frame);
    this.#status = wanted(own);
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
    this.#refusals = 0;
    this.#presenceDue = true;
    this.#flush();
  }

  interrupt(): void {
    this.#send = undefined;
    this.#status ??= this.#unread;
    this.#unread = undefined;
    this.#place = undefined;
    clearTimeout(this.#retry);
  }

  /** What a snapshot that comes now may not know yet of one's own status; ONLINE: that there is none. */
  get newest(): Awareness | undefined {
    const nowMs = Date.now();
    const isFresh = nowMs - this.#told.statusAtMs < SNAPSHOT_LAG_MS;
    const status = this.#status ?? (isFresh ? this.#told.status : undefined);
    const own = status === "none" ? ONLINE : left(status, nowMs);
    return own === undefined ? undefined : awarenessFrame("", own).awareness;
  }

  /** An error that names a stanza. true if it goes again. */
  refuse({ id, code }: BimipError): boolean {
    const passes = code === ErrorCode.TRY_AGAIN || code === ErrorCode.TOO_FAST;
    const { presenceId, statusId, status } = this.#told;
    if (id === undefined || (id !== presenceId && id !== statusId)) return false;
    if (!passes) {
      // It would be refused on each connection.
      if (id === presenceId) this.#presence = undefined;
      return false;
    }
    if (id === presenceId) this.#presenceDue = true;
    if (id === statusId) this.#status ??= status;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#flush(), backoffMs(++this.#refusals, this.#o.backoff));
    return true;
  }

  /** Tells what waits to be told. */
  #flush(): void {
    if (this.#send === undefined) return;
    const nowMs = Date.now();
    const place = this.#place;
    this.#place = undefined;
    if (this.#status === "none") {
      // ONLINE ends it, and with it what this device is shown as.
      this.#tell(ONLINE, "status");
      this.#onTold("none");
      this.#status = undefined;
      this.#presenceDue = true;
    }
    if (this.#presenceDue) {
      const presence = left(this.#presence, nowMs);
      if (presence === undefined) this.#presence = undefined;
      const own = presence ?? (place === undefined ? undefined : ONLINE);
      if (own !== undefined) {
        this.#tell({ ...own, location: place }, "presence");
        // A status that still holds would end with it.
        if (own.status === AwarenessStatus.ONLINE) this.#status ??= this.#known();
      }
      this.#presenceDue = false;
    }
    const status = left(this.#status, nowMs);
    if (status !== undefined) {
      this.#tell(status, "status");
      this.#onTold(this.#status);
    }
    this.#status = undefined;
  }

  /** A status is kept by the server, so it is told once; but that is not to be lost with a connection. */
  #onTold(status: Wanted | "none" | undefined): void {
    this.#told.status = status;
    this.#told.statusAtMs = Date.now();
    this.#unread = status;
    const read = (): void => {
      if (this.#unread === status) this.#unread = undefined;
    };
    this.#o.ping().then(read, () => undefined);
  }

  #tell(own: OwnAwareness, what: "presence" | "status"): void {
    const id = randomId();
    this.#told[`${what}Id`] = id;
    this.#send?.(awarenessFrame(id, own).frame);
  }

  #known(): Wanted | undefined {
    const custom = this.#o.custom();
    if (custom === undefined) return undefined;
    const { status, details, until } = custom;
    const own = { type: AwarenessType.STATUS, status, details };
    return { own, untilMs: until?.getTime() ?? Number.POSITIVE_INFINITY };
  }
}

const ONLINE: OwnAwareness = { type: AwarenessType.PRESENCE, status: AwarenessStatus.ONLINE };

function wanted(own: OwnAwareness): Wanted {
  const { ttlS = 0 } = own;
  return { own, untilMs: ttlS > 0 ? Date.now() + ttlS * 1_000 : Number.POSITIVE_INFINITY };
}

/** What is left of it, undefined: nothing. */
function left(what: Wanted | undefined, nowMs: number): OwnAwareness | undefined {
  if (what === undefined || what.untilMs <= nowMs) return undefined;
  if (!Number.isFinite(what.untilMs)) return what.own;
  return { ...what.own, ttlS: Math.ceil((what.untilMs - nowMs) / 1_000) };
}
