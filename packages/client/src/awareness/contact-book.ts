import type { AwarenessContact } from "@bimip/protocol";
import { actionOf, type Contact, type ContactChange, type ContactWord } from "./contact.js";
import { listed, NO_RELATION, type Relation, type Step, step, toContact } from "./relation.js";

/** A contact stanza that tells what one of the two did, seen from the client's account. */
export interface ContactNews extends Step {
  /** The other of the two. */
  readonly eid: string;
}

/**
 * Undefined for a stanza that tells no such thing.
 *
 * @param askedM how exactly they are to know where we are, if it is the answer to a stanza of this device that says so
 */
export function newsOf(stanza: AwarenessContact, ownEid: string, askedM: number | undefined): ContactNews | undefined {
  const action = actionOf(stanza.action);
  const byMe = stanza.from?.eid === ownEid;
  const eid = (byMe ? stanza.to?.eid : stanza.from?.eid) ?? "";
  if (action === undefined || action === "list" || eid === "") return undefined;
  // What they say is what they let us know.
  const isMine = byMe && (action === "request" || action === "accept");
  return { eid, action, byMe, stanza, precisionM: isMine ? stanza.locationPrecisionM : askedM };
}

/** The contacts as they are known: a list, kept in step by what happens. */
export class ContactBook {
  readonly #onChange: (change: ContactChange) => void;
  #relations = new Map<string, Relation>();
  readonly #contacts = new Map<string, Contact>();
  /** What came while a list is under way: it may be in the list, or not. */
  #meanwhile: ContactNews[] | undefined;

  constructor(onChange: (change: ContactChange) => void) {
    this.#onChange = onChange;
  }

  get all(): ReadonlyMap<string, Contact> {
    return this.#contacts;
  }

  get(eid: string): Contact | undefined {
    return this.#contacts.get(eid);
  }

  take(news: ContactNews): void {
    this.#meanwhile?.push(news);
    this.#step(news);
    this.#show(news.eid, news.action);
  }

  /** A list is asked for. */
  expectList(): void {
    this.#meanwhile = [];
  }

  /** None comes. */
  endList(): void {
    this.#meanwhile = undefined;
  }

  /** The list is complete: it takes the place of everything before. */
  replace(list: readonly AwarenessContact[]): void {
    this.#relations = new Map(list.map((stanza) => [stanza.to?.eid ?? "", listed(stanza)]));
    for (const news of this.#meanwhile ?? []) this.#step(news);
    this.endList();
    for (const eid of new Set([...this.#contacts.keys(), ...this.#relations.keys()])) this.#show(eid, "list");
  }

  #step(news: ContactNews): void {
    this.#relations.set(news.eid, step(this.#relations.get(news.eid) ?? NO_RELATION, news));
  }

  #show(eid: string, action: ContactWord): void {
    const before = this.#contacts.get(eid);
    const contact = toContact(eid, this.#relations.get(eid) ?? NO_RELATION);
    if (contact === undefined) {
      this.#relations.delete(eid);
      this.#contacts.delete(eid);
    } else this.#contacts.set(eid, contact);
    if (!isSame(before, contact)) this.#onChange({ eid, contact, action });
  }
}

/** true if there is nothing to tell. What it became known by is nothing. */
function isSame(a: Contact | undefined, b: Contact | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.state === b.state &&
    a.follower === b.follower &&
    a.askedByMe === b.askedByMe &&
    a.askedByThem === b.askedByThem &&
    a.blocked === b.blocked &&
    a.locationPrecisionM === b.locationPrecisionM
  );
}
