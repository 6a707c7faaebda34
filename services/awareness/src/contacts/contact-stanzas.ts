import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { ContactRecord, ContactSide } from "@bimip/nats";
import { AwarenessContactSchema, ContactAction, ContactRelationship } from "@bimip/protocol";
import { isRelation } from "./contact-pair.js";

/** A user's relations by the other's EID, as that user sees them. */
export type Relations = ReadonlyMap<string, ContactRecord>;

/** A page of these, at some 1 KB each, fits into one message of NATS. */
const LIST_PAGE = 500;

/** Two of a LIST's words for each side: what the user did, what the other did. */
const SIDE_WORDS: Readonly<Record<ContactSide, readonly [own: string, other: string]>> = {
  none: ["", ""],
  askedFollow: ["asked-follow", "asks-follow"],
  follows: ["following", "follower"],
  askedContact: ["asked-contact", "asks-contact"],
  followsAskedContact: ["following asked-contact", "follower asks-contact"],
  contact: ["contact", ""],
};

/** What a side that waits for an answer asked for: ContactRelationship. */
const ASKED: Readonly<Record<ContactSide, number>> = {
  none: ContactRelationship.UNSPECIFIED,
  askedFollow: ContactRelationship.UNILATERAL,
  follows: ContactRelationship.UNSPECIFIED,
  askedContact: ContactRelationship.MUTUAL,
  followsAskedContact: ContactRelationship.MUTUAL,
  contact: ContactRelationship.UNSPECIFIED,
};

export function encodeContact(contact: MessageInitShape<typeof AwarenessContactSchema>): Uint8Array {
  return toBinary(AwarenessContactSchema, create(AwarenessContactSchema, contact));
}

/** How many others the user has something with, or blocks; those who only ask are not of their doing. */
export function countRelations(relations: Relations): number {
  let count = 0;
  for (const { own, other, blocks } of relations.values()) {
    if (own !== "none" || blocks || (other !== "none" && ASKED[other] === ContactRelationship.UNSPECIFIED)) count++;
  }
  return count;
}

/**
 * The requests of others among these relations of a user that wait for the user's answer, as the AwarenessContacts that asked,
 * encoded; in the order of the relations.
 */
export function pendingRequests(relations: Iterable<ContactRecord>): Uint8Array[] {
  const requests: Uint8Array[] = [];
  for (const { eid, peer, other, otherRequest, otherPrecisionM } of relations) {
    if (otherRequest === null) continue;
    const { trackingId, details, atMs } = otherRequest;
    requests.push(
      encodeContact({
        from: { eid: peer },
        to: { eid },
        trackingId,
        relationship: ASKED[other],
        action: ContactAction.REQUEST,
        timestamp: BigInt(atMs),
        details,
        locationPrecisionM: otherPrecisionM,
      }),
    );
  }
  return requests;
}

/** One page of the answer to LIST. */
export interface ListPage {
  /** Encoded AwarenessContact. */
  readonly contacts: Uint8Array[];
  /** Where the next page begins, "" = this was the last. */
  readonly next: string;
}

/** @param asked.after the page begins behind this EID, in byte order; "" = with the first */
export function listPage(
  relations: Relations,
  asked: { from: { eid: string; connectionResourceId: string; node: string }; trackingId: string; after: string },
): ListPage {
  const { from, trackingId, after } = asked;
  const common = { from, trackingId, action: ContactAction.LIST };
  const behind = sortedBehind(relations.values(), after).filter(isRelation);
  const page = behind.slice(0, LIST_PAGE);
  const contacts = page.map((record) =>
    encodeContact({
      ...common,
      to: { eid: record.peer },
      relationship: relationshipOf(record),
      timestamp: BigInt(record.atMs),
      details: wordsOf(record),
      locationPrecisionM: record.precisionM,
    }),
  );
  if (behind.length > page.length) return { contacts, next: page.at(-1)?.peer ?? "" };
  contacts.push(encodeContact({ ...common, timestamp: BigInt(Date.now()) }));
  return { contacts, next: "" };
}

function wordsOf({ own, other, blocks }: ContactRecord): string {
  const words = [SIDE_WORDS[own][0], SIDE_WORDS[other][1], blocks ? "blocked" : ""];
  return words.filter((word) => word !== "").join(" ");
}

/** What holds, else what is asked for. */
function relationshipOf({ own, other }: ContactRecord): number {
  const sides = [own, other];
  if (sides.includes("contact")) return ContactRelationship.MUTUAL;
  if (sides.some((side) => side === "follows" || side === "followsAskedContact")) return ContactRelationship.UNILATERAL;
  return Math.max(ASKED[own], ASKED[other]);
}

/** Those behind an EID, in byte order of the others' EIDs. JavaScript's own order differs from it beyond U+FFFF. */
function sortedBehind(records: Iterable<ContactRecord>, after: string): ContactRecord[] {
  const start = Buffer.from(after);
  return [...records]
    .map((record) => ({ record, bytes: Buffer.from(record.peer) }))
    .filter(({ bytes }) => Buffer.compare(bytes, start) > 0)
    .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
    .map(({ record }) => record);
}
