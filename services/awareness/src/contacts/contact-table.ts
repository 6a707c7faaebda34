import type { ContactSide, ContactState } from "@bimip/nats";
import {
  BLOCK_REFUSALS,
  ContactAction,
  ContactActionSchema,
  ContactRelationship,
  ContactRelationshipSchema,
  ErrorCode,
} from "@bimip/protocol";

/** An AwarenessContact that is told. */
export interface Telling {
  /** ContactAction. */
  readonly action: number;
  /** ContactRelationship; absent: the one of the stanza that the actor sent. */
  readonly relationship?: number;
  /** Who says it to the other: the peer where what the actor asks for was granted before. */
  readonly from: "actor" | "peer";
  /** Absent: those of the stanza that the actor sent. */
  readonly details?: string;
}

/** Nothing is stored; the actor gets an ErrorMessage. */
export interface ContactRefusal {
  /** ErrorCode. */
  readonly code: number;
  /** Begins with the field that is wrong. */
  readonly refusal: string;
}

/** What comes of an action. */
export interface ContactOutcome {
  /** Absent: stays. */
  readonly ownAfter?: ContactSide;
  /** Absent: stays. */
  readonly otherAfter?: ContactSide;
  /** Whether the actor blocks the peer; absent: stays. */
  readonly blocksAfter?: boolean;
  readonly toActor: Telling;
  /** Told to the device that asked, not to the actor's others. */
  readonly askerAlone?: true;
  /** To all devices of the peer. */
  readonly toPeer?: Telling;
}

/** One row: where it applies (what is absent matters not), and what comes of it. */
export type ContactRow = {
  /** ContactAction. */
  readonly actions: readonly number[];
  /** ContactRelationship. */
  readonly relationship?: number;
  /** Whether the actor blocks the peer. */
  readonly blocks?: boolean;
  /** Whether the peer blocks the actor. */
  readonly blockedBy?: boolean;
  /** What the actor did towards the peer. */
  readonly own?: readonly ContactSide[];
  /** What the peer did towards the actor. */
  readonly other?: readonly ContactSide[];
} & (ContactRefusal | ContactOutcome);

const { REQUEST, ACCEPT, DENY, REMOVE, BLOCK, UNBLOCK } = ContactAction;
const { UNILATERAL, MUTUAL } = ContactRelationship;

const ASKS_CONTACT: readonly ContactSide[] = ["askedContact", "followsAskedContact"];

const actorSays = (action: number, relationship?: number): Telling =>
  relationship === undefined ? { action, from: "actor" } : { action, relationship, from: "actor" };

const REQUESTED = actorSays(REQUEST);
const ACCEPTED_FOLLOWER = actorSays(ACCEPT, UNILATERAL);
const ACCEPTED_CONTACT = actorSays(ACCEPT, MUTUAL);
/** The actor follows, as the peer agreed. */
const FOLLOWING: Telling = { action: ACCEPT, relationship: UNILATERAL, from: "peer" };
/** The server's word. It looks the same whether the actor removed or blocked the peer. */
const REMOVED: Telling = {
  action: ContactAction.REMOVED,
  relationship: ContactRelationship.UNSPECIFIED,
  from: "actor",
  details: "",
};
const NOTHING_WAITS: Telling = {
  action: ContactAction.ERROR,
  from: "actor",
  details: "to.eid: has no request that waits",
};

/**
 * The rules of AwarenessContact; the first row that fits applies. Neither asks to be a contact of one who asked for the same:
 * that makes them contacts, and a contact is one on both sides.
 */
export const CONTACT_TABLE: readonly ContactRow[] = [
  {
    actions: [REQUEST, ACCEPT, DENY],
    blocks: true,
    code: ErrorCode.CONFLICT,
    refusal: `to.eid: ${BLOCK_REFUSALS.byYou}`,
  },
  {
    actions: [REQUEST, ACCEPT, DENY],
    blockedBy: true,
    code: ErrorCode.NOT_ALLOWED,
    refusal: `to.eid: ${BLOCK_REFUSALS.byThem}`,
  },
  // Asking to follow. Who asked to be a contact has agreed to be seen.
  {
    actions: [REQUEST],
    relationship: UNILATERAL,
    own: ["none"],
    other: ASKS_CONTACT,
    ownAfter: "follows",
    toActor: FOLLOWING,
    toPeer: FOLLOWING,
  },
  {
    actions: [REQUEST],
    relationship: UNILATERAL,
    own: ["none", "askedFollow", "askedContact"],
    ownAfter: "askedFollow",
    toActor: REQUESTED,
    toPeer: REQUESTED,
  },
  {
    actions: [REQUEST],
    relationship: UNILATERAL,
    own: ["follows", "followsAskedContact"],
    ownAfter: "follows",
    toActor: FOLLOWING,
    toPeer: FOLLOWING,
  },
  // Asking to be a contact.
  {
    actions: [REQUEST],
    relationship: MUTUAL,
    other: ASKS_CONTACT,
    ownAfter: "contact",
    otherAfter: "contact",
    toActor: ACCEPTED_CONTACT,
    toPeer: ACCEPTED_CONTACT,
  },
  {
    actions: [REQUEST],
    relationship: MUTUAL,
    own: ["none", "askedFollow", "askedContact"],
    ownAfter: "askedContact",
    toActor: REQUESTED,
    toPeer: REQUESTED,
  },
  {
    actions: [REQUEST],
    relationship: MUTUAL,
    own: ["follows", "followsAskedContact"],
    ownAfter: "followsAskedContact",
    toActor: REQUESTED,
    toPeer: REQUESTED,
  },
  { actions: [REQUEST], own: ["contact"], toActor: ACCEPTED_CONTACT, askerAlone: true },
  // Answering.
  {
    actions: [ACCEPT],
    other: ["askedFollow"],
    otherAfter: "follows",
    toActor: ACCEPTED_FOLLOWER,
    toPeer: ACCEPTED_FOLLOWER,
  },
  {
    actions: [ACCEPT],
    other: ASKS_CONTACT,
    ownAfter: "contact",
    otherAfter: "contact",
    toActor: ACCEPTED_CONTACT,
    toPeer: ACCEPTED_CONTACT,
  },
  { actions: [ACCEPT], other: ["follows"], toActor: ACCEPTED_FOLLOWER, askerAlone: true },
  { actions: [ACCEPT], other: ["contact"], toActor: ACCEPTED_CONTACT, askerAlone: true },
  {
    actions: [DENY],
    other: ["askedFollow"],
    otherAfter: "none",
    toActor: actorSays(DENY, UNILATERAL),
    toPeer: actorSays(DENY, UNILATERAL),
  },
  {
    actions: [DENY],
    other: ["askedContact"],
    otherAfter: "none",
    toActor: actorSays(DENY, MUTUAL),
    toPeer: actorSays(DENY, MUTUAL),
  },
  {
    actions: [DENY],
    other: ["followsAskedContact"],
    otherAfter: "follows",
    toActor: actorSays(DENY, MUTUAL),
    toPeer: actorSays(DENY, MUTUAL),
  },
  { actions: [ACCEPT, DENY], toActor: NOTHING_WAITS, askerAlone: true },
  // Ending it all. There is nothing between users of whom one blocks the other.
  { actions: [REMOVE], own: ["none"], other: ["none"], toActor: actorSays(REMOVE) },
  { actions: [REMOVE], ownAfter: "none", otherAfter: "none", toActor: actorSays(REMOVE), toPeer: REMOVED },
  { actions: [BLOCK], own: ["none"], other: ["none"], blocksAfter: true, toActor: actorSays(BLOCK) },
  {
    actions: [BLOCK],
    ownAfter: "none",
    otherAfter: "none",
    blocksAfter: true,
    toActor: actorSays(BLOCK),
    toPeer: REMOVED,
  },
  { actions: [UNBLOCK], blocksAfter: false, toActor: actorSays(UNBLOCK) },
];

/** What comes of an action, and how the two stand then. */
export type Transition = ContactRefusal | (ContactOutcome & { readonly after: ContactState });

/**
 * What the table says.
 *
 * @param state as the actor sees it
 * @param relationship looked at in a REQUEST only
 * @throws RangeError for an action that is none of the table's, or a REQUEST without a relationship
 */
export function transition(state: ContactState, action: number, relationship: number): Transition {
  const row = CONTACT_TABLE.find((candidate) => fits(candidate, state, action, relationship));
  if (row === undefined) throw new RangeError(`no rule for action ${action}, relationship ${relationship}`);
  if ("refusal" in row) return row;
  const { ownAfter = state.own, otherAfter = state.other, blocksAfter = state.blocks } = row;
  return { ...row, after: { own: ownAfter, other: otherAfter, blocks: blocksAfter, blockedBy: state.blockedBy } };
}

function fits(row: ContactRow, state: ContactState, action: number, relationship: number): boolean {
  return (
    row.actions.includes(action) &&
    (row.relationship === undefined || row.relationship === relationship) &&
    (row.blocks === undefined || row.blocks === state.blocks) &&
    (row.blockedBy === undefined || row.blockedBy === state.blockedBy) &&
    (row.own?.includes(state.own) ?? true) &&
    (row.other?.includes(state.other) ?? true)
  );
}

/** The table in Markdown, for docs/3-protocol-spec.md; ends with a line feed. */
export function contactTableMarkdown(): string {
  const head = ["action", "block", "mine", "theirs", "mine then", "theirs then", "I am told", "they are told"];
  const lines = [head, head.map(() => "---"), ...CONTACT_TABLE.map(cellsOf)];
  return lines.map((cells) => `| ${cells.join(" | ")} |\n`).join("");
}

function cellsOf(row: ContactRow): readonly string[] {
  const actions = row.actions.map((action) => nameOf(action, row.relationship)).join(", ");
  const block = row.blocks === true ? "mine" : row.blockedBy === true ? "theirs" : "";
  const where = [actions, block, row.own?.join(", ") ?? "any", row.other?.join(", ") ?? "any"];
  if ("refusal" in row) return [...where, "same", "same", `error ${row.code}, "${row.refusal}"`, "nothing"];
  const { ownAfter = "same", otherAfter = "same", blocksAfter, toActor, askerAlone, toPeer } = row;
  const blockAfter = blocksAfter === undefined ? "" : blocksAfter ? ", and a block" : ", and no block";
  return [
    ...where,
    `${ownAfter}${blockAfter}`,
    otherAfter,
    `${textOf(toActor)}${askerAlone === true ? " (the asking device alone)" : ""}`,
    toPeer === undefined ? "nothing" : textOf(toPeer),
  ];
}

function textOf({ action, relationship, from, details = "" }: Telling): string {
  const quoted = details === "" ? "" : `, "${details}"`;
  return `${nameOf(action, relationship)}${from === "peer" ? " from them" : ""}${quoted}`;
}

function nameOf(action: number, relationship: number = ContactRelationship.UNSPECIFIED): string {
  const name = ContactActionSchema.value[action as ContactAction]?.localName ?? String(action);
  if (relationship === ContactRelationship.UNSPECIFIED) return name;
  return `${name} ${ContactRelationshipSchema.value[relationship as ContactRelationship]?.localName ?? relationship}`;
}
