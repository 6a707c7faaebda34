// The specification's "Who may see" as a table: sides by visibility, and blocks above all.
import type { ContactSide, ContactState } from "@bimip/nats";
import { Visibility } from "@bimip/protocol";
import { describe, expect, it, test } from "vitest";
import { fromOtherSide, isAccepted, maySee } from "./who-may-see.js";

const { PUBLIC, CONTACTS, PRIVATE, UNSPECIFIED } = Visibility;

/** What one did towards the other, and whether that one sees the other's presence: public, contacts, private. */
const SIGHT: readonly (readonly [ContactSide, boolean, boolean, boolean])[] = [
  ["none", false, false, false],
  ["askedFollow", true, false, false],
  ["follows", true, true, false],
  ["askedContact", false, false, false],
  ["followsAskedContact", true, true, false],
  ["contact", true, true, false],
];
const OTHERS = SIGHT.map(([side]) => side);
const state = (own: ContactSide, other: ContactSide, blocks = false, blockedBy = false): ContactState => ({
  own,
  other,
  blocks,
  blockedBy,
});

describe.each(SIGHT)("%s", (own, whenPublic, whenContacts, whenPrivate) => {
  it.each([
    ["public", PUBLIC, whenPublic],
    ["contacts", CONTACTS, whenContacts],
    ["private", PRIVATE, whenPrivate],
    ["no visibility", UNSPECIFIED, false],
  ])("sees who is %s as the table says, whatever the other did", (_name, visibility, sees) => {
    for (const other of OTHERS) expect(maySee(state(own, other), visibility), other).toBe(sees);
  });

  it("sees nothing across a block, whoever blocks", () => {
    for (const visibility of [PUBLIC, CONTACTS, PRIVATE]) {
      for (const other of OTHERS) {
        expect(maySee(state(own, other, true, false), visibility)).toBe(false);
        expect(maySee(state(own, other, false, true), visibility)).toBe(false);
        expect(maySee(state(own, other, true, true), visibility)).toBe(false);
      }
    }
  });
});

test("accepted is who may see one that shows presence to contacts", () => {
  for (const [side, , whenContacts] of SIGHT) expect(isAccepted(side), side).toBe(whenContacts);
});

test("the other side of the other side is the same", () => {
  const seen = state("followsAskedContact", "askedFollow", true, false);
  expect(fromOtherSide(seen)).toEqual(state("askedFollow", "followsAskedContact", false, true));
  expect(fromOtherSide(fromOtherSide(seen))).toEqual(seen);
});
