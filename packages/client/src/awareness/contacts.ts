import { type AwarenessContact, BimipError, ContactAction, type ContactRelationship, ErrorCode } from "@bimip/protocol";
import { type BackoffOptions, backoffMs } from "../backoff.js";
import { randomId } from "../random-id.js";
import { type Request, Requests } from "../requests.js";
import type { ContactsApi } from "./api.js";
import {
  type AcceptOptions,
  type Contact,
  type ContactChange,
  type ContactRequest,
  RELATIONSHIP_CODES,
  type RequestOptions,
} from "./contact.js";
import { ContactBook, newsOf } from "./contact-book.js";
import { PendingRequests } from "./pending-requests.js";
import { timeOf } from "./presence-entry.js";
import { contactFrame } from "./stanzas.js";

export interface ContactsOptions {
  readonly timeoutMs: number;
  readonly backoff: BackoffOptions;
  /** Throws a BimipError where nothing can be asked. */
  readonly check: () => void;
  /** The account; "" = not known. */
  readonly ownEid: () => string;
  readonly onChange: (change: ContactChange) => void;
  readonly listensToRequests: () => boolean;
  readonly onRequest: (request: ContactRequest) => void;
  /** The list cannot be had. */
  readonly onError: (error: BimipError) => void;
}

/** Asks for what is to be with contacts, keeps the list of them, and tells of requests. */
export class Contacts implements ContactsApi {
  readonly #o: ContactsOptions;
  readonly #requests: Requests<void>;
  readonly #book: ContactBook;
  readonly #pending: PendingRequests;
  /** The last that was asked about somebody: what is asked later waits for it. */
  readonly #turns = new Map<string, Promise<void>>();
  /** What is asked, by tracking_id. */
  readonly #asked = new Map<string, Asked>();
  #connected = false;
  /** Somebody wants to know the contacts. */
  #wanted = false;
  #live = false;
  /** Something was missed after the list under way was asked for. */
  #again = false;
  #listing: { readonly id: string; readonly items: AwarenessContact[]; readonly done: Promise<void> } | undefined;
  /** How often the client ended, and why the last time. */
  readonly #end: { ends: number; error: BimipError | undefined } = { ends: 0, error: undefined };
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ContactsOptions) {
    const { timeoutMs, backoff, check, onChange, listensToRequests, onRequest } = options;
    this.#o = options;
    this.#requests = new Requests({ timeoutMs, backoff, name: "awareness_contact", check });
    this.#book = new ContactBook(onChange);
    this.#pending = new PendingRequests({
      listens: listensToRequests,
      tell: (eid, stanza) => onRequest(this.#toRequest(eid, stanza)),
      verify: () => this.want(),
    });
  }

  /** What was sent and waits for its answer. */
  get underWay(): number {
    return this.#requests.underWay;
  }

  get live(): boolean {
    return this.#live;
  }

  all(): ReadonlyMap<string, Contact> {
    this.want();
    return this.#book.all;
  }

  get(eid: string): Contact | undefined {
    return this.all().get(eid);
  }

  async request(eid: string, { relationship = "mutual", ...options }: RequestOptions = {}): Promise<Contact> {
    await this.#act(eid, ContactAction.REQUEST, { ...options, relationship: RELATIONSHIP_CODES[relationship] });
    return this.#contactOf(eid);
  }

  async accept(eid: string, options: AcceptOptions = {}): Promise<Contact> {
    await this.#act(eid, ContactAction.ACCEPT, options);
    return this.#contactOf(eid);
  }

  deny(eid: string): Promise<void> {
    return this.#act(eid, ContactAction.DENY);
  }

  remove(eid: string): Promise<void> {
    return this.#act(eid, ContactAction.REMOVE);
  }

  async block(eid: string): Promise<Contact> {
    await this.#act(eid, ContactAction.BLOCK);
    return this.#contactOf(eid);
  }

  unblock(eid: string): Promise<void> {
    return this.#act(eid, ContactAction.UNBLOCK);
  }

  async list(): Promise<Contact[]> {
    this.#wanted = true;
    await this.#list();
    return [...this.#book.all.values()];
  }

  /** Somebody wants to know the contacts from now on. */
  want(): void {
    this.#wanted = true;
    this.#load();
  }

  /** Somebody may listen to requests now. */
  heard(): void {
    this.#pending.heard();
  }

  open(send: (frame: Uint8Array) => void): void {
    this.#connected = true;
    this.#failures = 0;
    this.#requests.open(send);
    if (this.#wanted) this.#load();
  }

  interrupt(): void {
    this.#connected = false;
    this.#live = false;
    this.#again = false;
    this.#pending.doubt();
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#requests.interrupt();
  }

  /** Stanzas may have been lost on the way, though the connection held. */
  missed(): void {
    this.#pending.doubt();
    this.#renew();
  }

  abandon(error: BimipError): void {
    this.#end.ends++;
    this.#end.error = error;
    this.#requests.abandon(error);
  }

  take(stanza: AwarenessContact): void {
    const { action, trackingId, to, details } = stanza;
    if (action === ContactAction.LIST) return this.#onList(stanza, (to?.eid ?? "") === "");
    const asked = this.#asked.get(trackingId);
    if (action === ContactAction.ERROR) {
      // The answer to the first was lost with its connection.
      if (asked?.action === ContactAction.DENY && asked.sent > 1) {
        this.#requests.answer(trackingId, undefined);
        return;
      }
      const text = details || "the contact could not be changed";
      const error = new BimipError(ErrorCode.UNKNOWN, `awareness_contact.${text}`, { id: trackingId });
      if (!this.#requests.refuse(error)) this.#o.onError(error);
      return;
    }
    const news = newsOf(stanza, this.#o.ownEid(), asked?.precisionM);
    if (news === undefined) return;
    // It answers another device of ours, and does not tell how exactly they may know now where we are.
    const isUnasked = asked === undefined && this.#book.get(news.eid)?.askedByMe !== "follow";
    this.#book.take(news);
    if (news.action === "accept" && !news.byMe && isUnasked && isFollow(stanza)) this.#renew();
    this.#pending.take(news, this.#book.get(news.eid)?.askedByThem !== undefined);
    // The server repeats a request that we are about to answer, under the same id.
    if (news.byMe || news.action !== "request") this.#requests.answer(trackingId, undefined);
  }

  /** An error that names a stanza. true if it was a request of ours. */
  refuse(error: BimipError): boolean {
    return this.#requests.refuse(error);
  }

  async #act(eid: string, action: ContactAction, options: ActOptions = {}): Promise<void> {
    const answers = action === ContactAction.ACCEPT || action === ContactAction.DENY;
    const waiting = answers ? this.#pending.trackingIdOf(eid) : "";
    // By the same id they know what is answered.
    const id = waiting === "" || this.#asked.has(waiting) ? randomId() : waiting;
    const frame = contactFrame(id, { action, to: eid, ...options });
    this.want();
    const setsPrecision = action === ContactAction.REQUEST || action === ContactAction.ACCEPT;
    const precisionM = setsPrecision ? (options.locationPrecisionM ?? 0) : undefined;
    const asked: Asked = { action, precisionM, sent: 0 };
    const request = { id, frame, onSend: () => void asked.sent++ };
    this.#asked.set(id, asked);
    const before = this.#turns.get(eid);
    const turn = before === undefined ? this.#requests.start(request) : this.#startAfter(before, request);
    this.#turns.set(eid, turn);
    try {
      await turn;
    } finally {
      this.#asked.delete(id);
      if (this.#turns.get(eid) === turn) this.#turns.delete(eid);
    }
  }

  async #startAfter(before: Promise<void>, request: Request): Promise<void> {
    const { ends } = this.#end;
    await before.catch(() => undefined);
    const { error } = this.#end;
    if (error !== undefined && this.#end.ends !== ends) throw error;
    return this.#requests.start(request);
  }

  /** How one stands with somebody, once the list is there that what was done is a part of. */
  async #contactOf(eid: string): Promise<Contact> {
    await this.#listing?.done.catch(() => undefined);
    const nothing: Contact = { eid, state: "none", follower: false, blocked: false, locationPrecisionM: 0 };
    return this.#book.get(eid) ?? nothing;
  }

  #load(): void {
    if (!this.#connected || this.#live || this.#listing !== undefined || this.#retry !== undefined) return;
    this.#list().catch((error: unknown) => this.#connected && this.#o.onError(BimipError.from(error)));
  }

  /** What is known may not be so any more. */
  #renew(): void {
    if (!this.#wanted) return;
    this.#live = false;
    if (this.#listing === undefined) this.#load();
    else this.#again = true;
  }

  /** The list, or that which is under way. */
  #list(): Promise<void> {
    if (this.#listing !== undefined) return this.#listing.done;
    const id = randomId();
    const frame = contactFrame(id, { action: ContactAction.LIST });
    const items: AwarenessContact[] = [];
    const onSend = (): void => {
      items.length = 0;
      this.#book.expectList();
    };
    const done = this.#requests.start({ id, frame, onSend }).then(
      () => this.#onListEnd(),
      (error: unknown) => {
        this.#onListEnd(BimipError.from(error));
        throw error;
      },
    );
    this.#listing = { id, items, done };
    return done;
  }

  #onList(stanza: AwarenessContact, isEnd: boolean): void {
    const listing = this.#listing;
    if (listing === undefined || stanza.trackingId !== listing.id) return;
    if (!isEnd) return void listing.items.push(stanza);
    this.#live = !this.#again;
    this.#failures = 0;
    this.#book.replace(listing.items);
    this.#pending.keep((eid) => this.#book.get(eid)?.askedByThem !== undefined);
    this.#requests.answer(listing.id, undefined);
  }

  #onListEnd(error?: BimipError): void {
    const isDue = this.#again;
    this.#listing = undefined;
    this.#again = false;
    if (error === undefined) return isDue ? this.#load() : undefined;
    this.#book.endList();
    const passes: readonly number[] = [ErrorCode.TIMED_OUT, ErrorCode.TOO_FAST, ErrorCode.TRY_AGAIN];
    if (!this.#connected || !passes.includes(error.code)) return;
    this.#retry = setTimeout(
      () => {
        this.#retry = undefined;
        this.#load();
      },
      backoffMs(++this.#failures, this.#o.backoff),
    );
  }

  #toRequest(eid: string, stanza: AwarenessContact): ContactRequest {
    const { details, timestamp } = stanza;
    return {
      eid,
      relationship: isFollow(stanza) ? "unilateral" : "mutual",
      details,
      at: timeOf(timestamp, Date.now()),
      accept: (options) => this.accept(eid, options),
      deny: () => this.deny(eid),
    };
  }
}

function isFollow({ relationship }: AwarenessContact): boolean {
  return relationship === RELATIONSHIP_CODES.unilateral;
}

interface Asked {
  readonly action: ContactAction;
  /** How exactly they are to know where we are, metres; undefined: it says nothing of that. */
  readonly precisionM: number | undefined;
  sent: number;
}

type ActOptions = AcceptOptions & { readonly relationship?: ContactRelationship };
