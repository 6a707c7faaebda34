import { type AwarenessContact, ContactRelationship } from "@bimip/protocol";
import type { Contact, ContactWord } from "./contact.js";

/** What one of two did towards the other. */
interface Side {
  /** contact is on both sides at once. */
  readonly is: "none" | "follows" | "contact";
  /** Not answered yet. */
  readonly asked?: "follow" | "contact";
}

/** How one stands with somebody. */
export interface Relation {
  readonly own: Side;
  readonly other: Side;
  readonly blocks: boolean;
  readonly precisionM: number;
  readonly trackingId: string;
}

const NOTHING: Side = { is: "none" };
const CONTACT: Side = { is: "contact" };
const FOLLOWS: Side = { is: "follows" };

export const NO_RELATION: Relation = { own: NOTHING, other: NOTHING, blocks: false, precisionM: 0, trackingId: "" };

/** Somebody of a list. */
export function listed({ details, locationPrecisionM }: AwarenessContact): Relation {
  const words = new Set(details.split(" "));
  const side = (is: string, follow: string, contact: string): Side => ({
    is: words.has("contact") ? "contact" : words.has(is) ? "follows" : "none",
    ...(words.has(follow) && { asked: "follow" }),
    ...(words.has(contact) && { asked: "contact" }),
  });
  return {
    own: side("following", "asked-follow", "asked-contact"),
    other: side("follower", "asks-follow", "asks-contact"),
    blocks: words.has("blocked"),
    precisionM: locationPrecisionM,
    trackingId: "",
  };
}

/** What one of two did. */
export interface Step {
  readonly action: ContactWord;
  /** This account did it, on whichever device. */
  readonly byMe: boolean;
  readonly stanza: AwarenessContact;
  /** What they may know of where we are, if that is said; metres. */
  readonly precisionM?: number | undefined;
}

/** The relation behind it. Repeated, it changes nothing. */
export function step(before: Relation, { action, byMe, stanza, precisionM = before.precisionM }: Step): Relation {
  const isMutual = stanza.relationship === ContactRelationship.MUTUAL;
  const { trackingId } = stanza;
  const relation: Relation = { ...before, trackingId, precisionM };
  switch (action) {
    case "request":
      return withSide(relation, byMe, (side) => asks(side, isMutual));
    case "accept":
      if (isMutual) return { ...relation, own: CONTACT, other: CONTACT };
      return withSide(relation, !byMe, (side) => (side.is === "contact" ? side : FOLLOWS));
    case "deny":
      return withSide(relation, !byMe, ({ is }) => ({ is }));
    case "remove":
    case "removed":
      return { ...NO_RELATION, blocks: before.blocks, trackingId };
    case "block":
      return { ...NO_RELATION, blocks: true, trackingId };
    case "unblock":
      return { ...relation, blocks: false };
    case "list":
    default:
      return before;
  }
}

/** Undefined: nothing stands between the two. */
export function toContact(eid: string, relation: Relation): Contact | undefined {
  const { own, other, blocks, precisionM, trackingId } = relation;
  const isNothing = [own, other].every(({ is, asked }) => is === "none" && asked === undefined);
  if (isNothing && !blocks) return undefined;
  const isMutual = own.is === "contact" || own.asked === "contact" || other.asked === "contact";
  return {
    eid,
    state: own.is === "follows" ? "following" : own.is,
    follower: other.is === "follows",
    ...(own.asked !== undefined && { askedByMe: own.asked }),
    ...(other.asked !== undefined && { askedByThem: other.asked }),
    blocked: blocks,
    ...(!isNothing && { relationship: isMutual ? "mutual" : "unilateral" }),
    locationPrecisionM: precisionM,
    ...(trackingId !== "" && { trackingId }),
  };
}

function withSide(relation: Relation, own: boolean, change: (side: Side) => Side): Relation {
  return own ? { ...relation, own: change(relation.own) } : { ...relation, other: change(relation.other) };
}

function asks({ is }: Side, isMutual: boolean): Side {
  if (is === "contact") return { is };
  if (isMutual) return { is, asked: "contact" };
  // Who follows already asks for no more than that.
  return is === "follows" ? FOLLOWS : { is, asked: "follow" };
}
