import {
  type Awareness,
  AwarenessSchema,
  AwarenessType,
  BODY_ROUTE,
  type BimipError,
  IdentitySchema,
  type Stanza,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import type { BackoffOptions } from "../backoff.js";
import type { ClientEvents } from "../client-options.js";
import type { Emitter } from "../emitter.js";
import { Contacts } from "./contacts.js";
import { OwnPresence } from "./own-presence.js";
import { OwnVisibility } from "./own-visibility.js";
import { statusIn } from "./own-word.js";
import { type Place, visibilityOf } from "./presence.js";
import { PresenceStore } from "./presence-store.js";
import { SnapshotParts } from "./snapshot-parts.js";
import { locationFrame } from "./stanzas.js";

const SNAPSHOT = BigInt(BODY_ROUTE.snapshot);
const SNAPSHOT_PART = BigInt(BODY_ROUTE.snapshotPart);

export interface PeersOptions {
  readonly events: Emitter<ClientEvents>;
  /** Milliseconds that a request may take, waiting included. */
  readonly timeoutMs: number;
  readonly backoff: BackoffOptions;
  /** The account; "" = not known. */
  readonly ownEid: () => string;
  /** The round trip of a PingPong. */
  readonly ping: () => Promise<unknown>;
  /** Throws a BimipError when the client is closed. */
  readonly check: () => void;
}

/** The stanzas that are about people, not messages. */
type PeerStanza = Extract<
  Stanza,
  { kind: "awareness" | "body" | "awarenessContact" | "awarenessVisibility" | "locationStream" }
>;

/** Wires what a client knows and tells of people: presence, position, visibility, contacts. */
export class Peers {
  readonly #events: Emitter<ClientEvents>;
  readonly #ownEid: () => string;
  readonly store: PresenceStore;
  readonly own: OwnPresence;
  readonly contacts: Contacts;
  readonly visibility: OwnVisibility;
  readonly #parts = new SnapshotParts();
  #send: ((frame: Uint8Array) => void) | undefined;

  constructor({ events, timeoutMs, backoff, ownEid, ping, check }: PeersOptions) {
    this.#events = events;
    this.#ownEid = ownEid;
    this.store = new PresenceStore({
      ownEid,
      onChange: (change) => events.emit("presence", change),
      onLocation: (location) => events.emit("location", location),
    });
    this.own = new OwnPresence({
      backoff,
      ping,
      onStatus: (awareness) => this.#onOwnStatus(awareness),
    });
    this.contacts = new Contacts({
      timeoutMs,
      backoff,
      check,
      ownEid,
      onChange: (change) => events.emit("contact", change),
      listensToRequests: () => events.has("contactRequest"),
      onRequest: (request) => events.emit("contactRequest", request),
      onError: (error) => events.emit("error", error),
    });
    this.visibility = new OwnVisibility({ timeoutMs, backoff, check });
  }

  /** What was sent and waits for its answer. */
  get underWay(): number {
    return this.contacts.underWay + this.visibility.underWay;
  }

  shareLocation(place: Place, to: string | undefined): void {
    const frame = locationFrame(place, to);
    this.#send?.(frame);
  }

  /** A handler of this event was added. */
  heard(event: keyof ClientEvents): void {
    if (event === "contact") this.contacts.want();
    if (event === "contactRequest") this.contacts.heard();
  }

  open(send: (frame: Uint8Array) => void): void {
    this.#send = send;
    this.store.open();
    this.own.open(send);
    this.visibility.open(send);
    this.contacts.open(send);
  }

  interrupt(): void {
    this.#send = undefined;
    this.#parts.reset();
    this.store.interrupt();
    this.own.interrupt();
    this.visibility.interrupt();
    this.contacts.interrupt();
  }

  /** Nothing will be answered any more. */
  abandon(error: BimipError): void {
    this.store.end();
    this.visibility.abandon(error);
    this.contacts.abandon(error);
  }

  take(stanza: PeerStanza): void {
    switch (stanza.kind) {
      case "awareness":
        this.#events.emit("awareness", stanza.value);
        return this.#onChanges([stanza.value]);
      case "body": {
        const { route, awarenessList } = stanza.value;
        for (const awareness of awarenessList) this.#events.emit("awareness", awareness);
        if (route === SNAPSHOT_PART) return this.#parts.add(awarenessList);
        return route === SNAPSHOT ? this.#onSnapshot(awarenessList) : this.#onChanges(awarenessList);
      }
      case "locationStream":
        return this.store.locate(stanza.value);
      case "awarenessContact":
        return this.contacts.take(stanza.value);
      case "awarenessVisibility": {
        const { id, type } = stanza.value;
        const visibility = visibilityOf(type);
        if (visibility !== undefined) this.#events.emit("visibility", visibility);
        this.visibility.answer(id);
      }
    }
  }

  /** An error that names a stanza. true if it was about one of ours, and who waits for it knows, or it goes again. */
  refuse(error: BimipError): boolean {
    return this.contacts.refuse(error) || this.visibility.refuse(error) || this.own.refuse(error);
  }

  #onChanges(changes: readonly Awareness[]): void {
    if (this.#parts.hold(changes)) return;
    const status = statusIn(changes, this.#ownEid());
    if (status !== undefined) this.own.hear(status);
    this.store.take(changes);
  }

  /** @param last its last part */
  #onSnapshot(last: readonly Awareness[]): void {
    const isRepeated = this.store.live;
    const { snapshot, behind } = this.#parts.end(last);
    // Of ourselves it tells a status, or nothing.
    this.own.hear(statusIn(snapshot, this.#ownEid()) ?? "none");
    this.store.snapshot(this.#withOwn(snapshot));
    if (behind.length > 0) this.#onChanges(behind);
    this.own.release();
    // The gateway has missed something, perhaps also of what happened to contacts.
    if (isRepeated) this.contacts.missed();
  }

  /** The server does not tell us what this device says. */
  #onOwnStatus(awareness: Awareness): void {
    const eid = this.#ownEid();
    const isKnown = this.store.get(eid) !== undefined;
    // That we are online is not worth an entry of its own.
    if (eid === "" || (!isKnown && awareness.type === AwarenessType.PRESENCE)) return;
    this.store.take([fromOwn(awareness, eid)]);
  }

  /** A snapshot, in step with what this device has just said. */
  #withOwn(awarenessList: readonly Awareness[]): readonly Awareness[] {
    const eid = this.#ownEid();
    const { newest } = this.own;
    if (newest === undefined || eid === "") return awarenessList;
    const others = awarenessList.filter(({ from }) => from?.eid !== eid);
    return newest.type === AwarenessType.PRESENCE ? others : [...others, fromOwn(newest, eid)];
  }
}

function fromOwn(awareness: Awareness, eid: string): Awareness {
  return create(AwarenessSchema, { ...awareness, from: create(IdentitySchema, { eid }) });
}
