import { AwarenessContactSchema } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import type { ContactWord } from "./contact.js";
import { listed, NO_RELATION, type Relation, step, toContact } from "./relation.js";

const list = (words: string, locationPrecisionM = 0): Relation =>
  listed(create(AwarenessContactSchema, { details: words, locationPrecisionM }));

/** The relation in LIST's words. */
function wordsOf({ own, other, blocks }: Relation): string {
  if (own.is === "contact") return "contact";
  const words = [
    own.is === "follows" && "following",
    own.asked !== undefined && `asked-${own.asked}`,
    other.is === "follows" && "follower",
    other.asked !== undefined && `asks-${other.asked}`,
    blocks && "blocked",
  ];
  return words.filter((word) => word !== false).join(" ");
}

it.each([
  ["contact", { state: "contact", follower: false, relationship: "mutual" }],
  ["following", { state: "following", follower: false, relationship: "unilateral" }],
  ["following follower", { state: "following", follower: true, relationship: "unilateral" }],
  ["following asked-contact", { state: "following", follower: false, askedByMe: "contact", relationship: "mutual" }],
  [
    "asked-follow asks-contact",
    { state: "none", follower: false, askedByMe: "follow", askedByThem: "contact", relationship: "mutual" },
  ],
  ["asks-follow", { state: "none", follower: false, askedByThem: "follow", relationship: "unilateral" }],
  ["follower asks-contact", { state: "none", follower: true, askedByThem: "contact", relationship: "mutual" }],
])("a list's %j", (words, contact) => {
  expect(wordsOf(list(words))).toBe(words);
  expect(toContact("bob", list(words, 50))).toEqual({ eid: "bob", blocked: false, locationPrecisionM: 50, ...contact });
});

it("a block is a contact without a relationship, nothing is none", () => {
  const blocked = { eid: "bob", state: "none", follower: false, blocked: true, locationPrecisionM: 0 };
  expect(toContact("bob", list("blocked"))).toEqual(blocked);
  expect(toContact("bob", NO_RELATION)).toBeUndefined();
});

const [FOLLOW, CONTACT] = [1, 2];
const [I, THEY] = [true, false];

// What the server may tell in each state, and what it makes of that state.
it.each<[before: string, action: ContactWord, byMe: boolean, relationship: number, after: string]>([
  ["", "request", I, FOLLOW, "asked-follow"],
  ["", "request", THEY, FOLLOW, "asks-follow"],
  ["asked-contact", "request", I, FOLLOW, "asked-follow"],
  ["asked-follow", "request", I, CONTACT, "asked-contact"],
  ["following", "request", I, CONTACT, "following asked-contact"],
  ["follower", "request", THEY, CONTACT, "follower asks-contact"],
  ["following asked-contact", "accept", THEY, FOLLOW, "following"],
  ["asks-contact", "accept", THEY, FOLLOW, "following asks-contact"],
  ["asked-follow", "accept", THEY, FOLLOW, "following"],
  ["asks-follow", "accept", I, FOLLOW, "follower"],
  ["asked-follow asks-contact", "accept", I, CONTACT, "contact"],
  ["following follower asks-contact", "accept", THEY, CONTACT, "contact"],
  ["asks-follow", "deny", I, FOLLOW, ""],
  ["asked-follow", "deny", THEY, FOLLOW, ""],
  ["follower asks-contact", "deny", I, CONTACT, "follower"],
  ["asked-follow asks-contact", "deny", I, CONTACT, "asked-follow"],
  ["contact", "remove", I, 0, ""],
  ["following follower", "removed", THEY, 0, ""],
  ["contact", "block", I, 0, "blocked"],
  ["blocked", "unblock", I, 0, ""],
  ["following", "unblock", I, 0, "following"],
  ["contact", "request", I, CONTACT, "contact"],
])("%j: %s by me %s (%i) makes %j, and so it stays when repeated", (before, action, byMe, relationship, after) => {
  const stanza = create(AwarenessContactSchema, { relationship, trackingId: "t" });
  const once = step(list(before, 20), { action, byMe, stanza });
  expect(wordsOf(once)).toBe(after);
  expect(step(once, { action, byMe, stanza })).toEqual(once);
});
