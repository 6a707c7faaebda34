import { ContactAction, ContactRelationship } from "@bimip/protocol";

/** unilateral: one follows the other. mutual: both are contacts. */
export type Relationship = "unilateral" | "mutual";

/** How one stands with somebody. Never changed: a change makes a new one. */
export interface Contact {
  readonly eid: string;
  /** contact: of each other. following: they let you see them. none: neither; one of the fields below says why it is here. */
  readonly state: "contact" | "following" | "none";
  /** They follow you, and you accepted. */
  readonly follower: boolean;
  /** What you asked, and they have not answered: to follow them, to be a contact. */
  readonly askedByMe?: "follow" | "contact";
  /** What they asked, and you have not answered. */
  readonly askedByThem?: "follow" | "contact";
  /** By you. That they block you is never told. */
  readonly blocked: boolean;
  /** mutual: a contact, or asked to be one; absent: nothing but a block. */
  readonly relationship?: Relationship;
  /** How exactly you let them know where you are: metres, 0 = exactly, -1 = not at all. */
  readonly locationPrecisionM: number;
  /** Of the last stanza that changed it; absent: it is known from a list. */
  readonly trackingId?: string;
}

/** What happened to a contact; list: the list that was asked for differs from what was known. */
export type ContactWord = "request" | "accept" | "deny" | "remove" | "removed" | "block" | "unblock" | "list";

export interface ContactChange {
  readonly eid: string;
  /** Undefined: nothing stands between the two any more. */
  readonly contact: Contact | undefined;
  readonly action: ContactWord;
}

/** Somebody asks to follow you, or to be a contact. */
export interface ContactRequest {
  readonly eid: string;
  readonly relationship: Relationship;
  /** Their words for it. */
  readonly details: string;
  readonly at: Date;
  /** As `contacts.accept(eid, options)`. */
  accept(options?: AcceptOptions): Promise<Contact>;
  /** As `contacts.deny(eid)`. */
  deny(): Promise<void>;
}

export interface AcceptOptions {
  /** Words for it. */
  readonly details?: string;
  /** How exactly they are to know where you are: metres, 0 (default) = exactly, -1 = not at all. */
  readonly locationPrecisionM?: number;
}

export interface RequestOptions extends AcceptOptions {
  /** unilateral: to follow them; mutual (default): to be contacts of each other. */
  readonly relationship?: Relationship;
}

export const RELATIONSHIP_CODES: Readonly<Record<Relationship, ContactRelationship>> = {
  unilateral: ContactRelationship.UNILATERAL,
  mutual: ContactRelationship.MUTUAL,
};

const ACTION_WORDS: ReadonlyMap<number, ContactWord> = new Map<number, ContactWord>([
  [ContactAction.REQUEST, "request"],
  [ContactAction.ACCEPT, "accept"],
  [ContactAction.DENY, "deny"],
  [ContactAction.REMOVE, "remove"],
  [ContactAction.REMOVED, "removed"],
  [ContactAction.BLOCK, "block"],
  [ContactAction.UNBLOCK, "unblock"],
  [ContactAction.LIST, "list"],
]);

/** Undefined for what changes nothing. */
export function actionOf(code: number): ContactWord | undefined {
  return ACTION_WORDS.get(code);
}
