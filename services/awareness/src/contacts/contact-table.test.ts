// Every cell of the contacts' table: each pair of sides, with and without blocks, under each action. The expectations are
// written from the protocol's words, not read from the table.
import { isDeepStrictEqual } from "node:util";
import type { ContactSide, ContactState } from "@bimip/nats";
import { ContactAction, ContactRelationship, ErrorCode } from "@bimip/protocol";
import { describe, expect, it, test } from "vitest";
import { CONTACT_TABLE, contactTableMarkdown, type Telling, transition } from "./contact-table.js";
import { fromOtherSide } from "./who-may-see.js";

const { REQUEST, ACCEPT, DENY, REMOVE, REMOVED, ERROR, BLOCK, UNBLOCK } = ContactAction;
const { UNILATERAL, MUTUAL, UNSPECIFIED } = ContactRelationship;

const SIDES: readonly ContactSide[] = [
  "none",
  "askedFollow",
  "follows",
  "askedContact",
  "followsAskedContact",
  "contact",
];
const ACTIONS: readonly (readonly [name: string, action: number, relationship: number])[] = [
  ["REQUEST UNILATERAL", REQUEST, UNILATERAL],
  ["REQUEST MUTUAL", REQUEST, MUTUAL],
  ["ACCEPT", ACCEPT, UNSPECIFIED],
  ["DENY", DENY, UNSPECIFIED],
  ["REMOVE", REMOVE, UNSPECIFIED],
  ["BLOCK", BLOCK, UNSPECIFIED],
  ["UNBLOCK", UNBLOCK, UNSPECIFIED],
];

const asksContact = (side: ContactSide): boolean => side === "askedContact" || side === "followsAskedContact";
const state = (own: ContactSide, other: ContactSide, blocks = false, blockedBy = false): ContactState => ({
  own,
  other,
  blocks,
  blockedBy,
});

/** The pairs of sides that there are: a contact is one on both, and who asks one that asks for the same is a contact. */
const PAIRS = SIDES.flatMap((own) => SIDES.map((other) => [own, other] as const)).filter(
  ([own, other]) => (own === "contact") === (other === "contact") && !(asksContact(own) && asksContact(other)),
);

const says = (action: number, relationship?: number, from: Telling["from"] = "actor"): Telling =>
  relationship === undefined ? { action, from } : { action, relationship, from };
const following = says(ACCEPT, UNILATERAL, "peer");
const removed: Telling = { ...says(REMOVED, UNSPECIFIED), details: "" };

type Cell = readonly [
  own: ContactSide,
  other: ContactSide,
  toAsker: Telling,
  toAll: boolean,
  toPeer: Telling | undefined,
];
const toBoth = (own: ContactSide, other: ContactSide, told: Telling): Cell => [own, other, told, true, told];
const toAskerAlone = (own: ContactSide, other: ContactSide, told: Telling): Cell => [
  own,
  other,
  told,
  false,
  undefined,
];

/** What must come of an action without a block. */
const WANTED: Readonly<Record<string, (own: ContactSide, other: ContactSide) => Cell>> = {
  "REQUEST UNILATERAL": (own, other) => {
    if (own === "contact") return toAskerAlone(own, other, says(ACCEPT, MUTUAL));
    if (own === "none" && asksContact(other)) return toBoth("follows", other, following);
    if (own === "follows" || own === "followsAskedContact") return toBoth("follows", other, following);
    return toBoth("askedFollow", other, says(REQUEST));
  },
  "REQUEST MUTUAL": (own, other) => {
    if (own === "contact") return toAskerAlone(own, other, says(ACCEPT, MUTUAL));
    if (asksContact(other)) return toBoth("contact", "contact", says(ACCEPT, MUTUAL));
    const follows = own === "follows" || own === "followsAskedContact";
    return toBoth(follows ? "followsAskedContact" : "askedContact", other, says(REQUEST));
  },
  ACCEPT: (own, other) => {
    if (other === "askedFollow") return toBoth(own, "follows", says(ACCEPT, UNILATERAL));
    if (asksContact(other)) return toBoth("contact", "contact", says(ACCEPT, MUTUAL));
    if (other === "follows") return toAskerAlone(own, other, says(ACCEPT, UNILATERAL));
    if (other === "contact") return toAskerAlone(own, other, says(ACCEPT, MUTUAL));
    return toAskerAlone(own, other, { ...says(ERROR), details: "to.eid: has no request that waits" });
  },
  DENY: (own, other) => {
    if (other === "askedFollow") return toBoth(own, "none", says(DENY, UNILATERAL));
    if (other === "askedContact") return toBoth(own, "none", says(DENY, MUTUAL));
    if (other === "followsAskedContact") return toBoth(own, "follows", says(DENY, MUTUAL));
    return toAskerAlone(own, other, { ...says(ERROR), details: "to.eid: has no request that waits" });
  },
  REMOVE: (own, other) => {
    return ["none", "none", says(REMOVE), true, own === "none" && other === "none" ? undefined : removed];
  },
};

describe.each(ACTIONS.slice(0, 5))("%s", (name, action, relationship) => {
  it.each(PAIRS)("with %s and %s", (own, other) => {
    const [ownAfter, otherAfter, toActor, toAll, toPeer] = WANTED[name]?.(own, other) ?? [];
    const result = transition(state(own, other), action, relationship);
    if ("refusal" in result) throw new Error(result.refusal);
    expect(result.after).toEqual(state(ownAfter ?? "none", otherAfter ?? "none"));
    expect([result.toActor, result.askerAlone !== true, result.toPeer]).toEqual([toActor, toAll, toPeer]);
  });
});

describe("BLOCK", () => {
  it.each(PAIRS)("with %s and %s: ends what there was, and the other is told of that alone", (own, other) => {
    for (const blockedBy of [false, true]) {
      if (blockedBy && (own !== "none" || other !== "none")) continue;
      const result = transition(state(own, other, false, blockedBy), BLOCK, UNSPECIFIED);
      if ("refusal" in result) throw new Error(result.refusal);
      expect(result.after).toEqual(state("none", "none", true, blockedBy));
      expect(result).toMatchObject({ toActor: says(BLOCK) });
      expect(result.askerAlone).toBeUndefined();
      expect(result.toPeer).toEqual(own === "none" && other === "none" ? undefined : removed);
    }
  });
});

describe.each([
  [true, false],
  [false, true],
  [true, true],
])("where one blocks (%s) and is blocked (%s)", (blocks, blockedBy) => {
  const before = state("none", "none", blocks, blockedBy);

  it.each(ACTIONS.slice(0, 4))(
    "%s is refused, and the reason is one's own block if there is one",
    (_name, ...asked) => {
      expect(transition(before, ...asked)).toMatchObject(
        blocks
          ? { code: ErrorCode.CONFLICT, refusal: "to.eid: is blocked by you, unblock first" }
          : { code: ErrorCode.NOT_ALLOWED, refusal: "to.eid: does not take stanzas from you" },
      );
    },
  );

  it.each([
    ["REMOVE", REMOVE, blocks],
    ["BLOCK", BLOCK, true],
    ["UNBLOCK", UNBLOCK, false],
  ])("%s leaves the other's block alone", (_name, action, blocksAfter) => {
    const result = transition(before, action, UNSPECIFIED);
    if ("refusal" in result) throw new Error(result.refusal);
    expect(result.after).toEqual(state("none", "none", blocksAfter, blockedBy));
    expect(result.toPeer).toBeUndefined();
    expect(result.toActor).toEqual(says(action));
    expect(result.askerAlone).toBeUndefined();
  });
});

it.each(PAIRS)("UNBLOCK with %s and %s, no block: changes nothing", (own, other) => {
  expect(transition(state(own, other), UNBLOCK, UNSPECIFIED)).toMatchObject({
    after: state(own, other),
    toActor: says(UNBLOCK),
  });
});

/** All that two users can come to, from nothing, by what either does. */
function reachable(): ContactState[] {
  const found = new Map<string, ContactState>();
  const open = [state("none", "none")];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (found.has(JSON.stringify(next))) continue;
    found.set(JSON.stringify(next), next);
    for (const seen of [next, fromOtherSide(next)]) {
      for (const [, action, relationship] of ACTIONS) {
        const result = transition(seen, action, relationship);
        if ("after" in result) open.push(result.after, fromOtherSide(result.after));
      }
    }
  }
  return [...found.values()];
}

describe("whatever two users do", () => {
  const states = reachable();

  it("they come to every pair of sides that there is, and to no other", () => {
    const key = (own: ContactSide, other: ContactSide): string => `${own} ${other}`;
    const come = new Set(states.map(({ own, other }) => key(own, other)));
    expect([...come].sort()).toEqual(PAIRS.map((pair) => key(...pair)).sort());
    expect(states).toHaveLength(PAIRS.length + 3);
  });

  it("nothing is left where one blocks the other", () => {
    for (const { own, other, blocks, blockedBy } of states) {
      if (blocks || blockedBy) expect([own, other]).toEqual(["none", "none"]);
    }
  });

  it("who asks what the other asked for is a contact, in either order, whatever came before", () => {
    for (const before of states.filter(({ blocks, blockedBy }) => !blocks && !blockedBy)) {
      const first = transition(before, REQUEST, MUTUAL);
      if ("refusal" in first) throw new Error(first.refusal);
      const second = transition(fromOtherSide(first.after), REQUEST, MUTUAL);
      expect(second).toMatchObject({ after: state("contact", "contact") });
    }
  });

  it("REMOVE and BLOCK end everything, and doing it again changes nothing", () => {
    for (const before of states) {
      for (const action of [REMOVE, BLOCK]) {
        const first = transition(before, action, UNSPECIFIED);
        if ("refusal" in first) throw new Error(first.refusal);
        expect(first.after).toMatchObject({ own: "none", other: "none" });
        const second = transition(first.after, action, UNSPECIFIED);
        expect(second).toMatchObject({ after: first.after });
        expect(second).not.toHaveProperty("toPeer");
      }
    }
  });
});

test("an action that is none of the table's, or a request for nothing, is no question of rules", () => {
  for (const [action, relationship] of [
    [REMOVED, UNSPECIFIED],
    [ERROR, UNSPECIFIED],
    [0, UNSPECIFIED],
    [REQUEST, UNSPECIFIED],
  ] as const) {
    expect(() => transition(state("none", "none"), action, relationship)).toThrow(RangeError);
  }
});

test("every row applies somewhere, and is a line of the documentation", () => {
  const met = new Set<unknown>();
  for (const before of reachable()) {
    for (const [, action, relationship] of ACTIONS) {
      const { after: _after, ...row } = { after: undefined, ...transition(before, action, relationship) };
      met.add(CONTACT_TABLE.find((one) => isDeepStrictEqual(one, row)));
    }
  }
  expect(CONTACT_TABLE.filter((row) => !met.has(row))).toEqual([]);
  const lines = contactTableMarkdown().trimEnd().split("\n");
  expect(lines).toHaveLength(CONTACT_TABLE.length + 2);
  expect(new Set(lines.map((line) => line.split(" | ").length))).toEqual(new Set([8]));
  expect(lines[2]).toBe(
    '| REQUEST, ACCEPT, DENY | mine | any | any | same | same | error 409, "to.eid: is blocked by you, unblock first" | nothing |',
  );
});
