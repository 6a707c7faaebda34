import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import type { ContactRecord } from "@bimip/nats";
import {
  type AwarenessContact,
  AwarenessContactSchema,
  ContactAction,
  type ContactRequest,
  type ContactResponseSchema,
  ErrorCode,
  stanzaName,
  validateStanza,
} from "@bimip/protocol";
import type { Metrics } from "@bimip/runtime";
import { senderOf } from "../sender.js";
import { draftOf } from "./contact-change.js";
import { isRelation, withTold } from "./contact-pair.js";
import { countRelations, encodeContact, listPage, type Relations } from "./contact-stanzas.js";
import type { ContactStore, Decision } from "./contact-store.js";
import { type ContactRefusal, type Telling, type Transition, transition } from "./contact-table.js";

/** Where the relations of a user come from. */
export interface ContactListSource {
  /** All of the user's. Whoever calls the handler sees to it that what was answered before is in it. */
  of(eid: string): Promise<Relations>;
}

/**
 * Sends an encoded AwarenessContact to all devices of a user that are online.
 *
 * @param notDevice but for this one; "" = to all
 */
export type TellUser = (eid: string, contact: Uint8Array, notDevice: string) => void;

/** A block between the two was made or lifted: gateways must ask anew whether one may write to the other. */
export type TellFlowChanged = (eid: string, peer: string) => void;

export interface ContactHandlerOptions {
  readonly store: ContactStore;
  readonly lists: ContactListSource;
  readonly tellUser: TellUser;
  readonly flowChanged: TellFlowChanged;
  /** This replica's name. */
  readonly replica: string;
  /** Relations that a user may have. Requests at the same time may exceed it by a few. */
  readonly maxContacts: number;
  readonly metrics: Metrics;
}

export type ContactHandler = (request: ContactRequest) => Promise<ContactAnswer>;

type ContactAnswer = MessageInitShape<typeof ContactResponseSchema>;

const FIELD_PREFIX = `${stanzaName("awarenessContact")}.`;

/**
 * Answers AwarenessContact: applies the table to what the two have with each other and tells both. What that changes of who
 * sees whom is told by whoever reads the records.
 */
export function createContactHandler(options: ContactHandlerOptions): ContactHandler {
  const answered = options.metrics.counter({
    name: "bimip_awareness_contacts_total",
    help: "AwarenessContact stanzas answered, by action and outcome (0 = done, else the error code).",
    labelNames: ["action", "code"],
  });
  return async (request) => {
    const contact = fromBinary(AwarenessContactSchema, request.contact);
    const refusal = problemOf(request, contact);
    const answer = refusal === undefined ? await answerOf(options, request, contact) : refused(refusal);
    answered.inc({ action: refusal === undefined ? contact.action : 0, code: answer.code ?? 0 });
    return answer;
  };
}

async function answerOf(
  options: ContactHandlerOptions,
  request: ContactRequest,
  contact: AwarenessContact,
): Promise<ContactAnswer> {
  if (contact.action !== ContactAction.LIST) return change(options, request, contact);
  const relations = await options.lists.of(request.eid);
  return listPage(relations, { from: senderOf(request), trackingId: contact.trackingId, after: request.after });
}

/** What the stanza alone shows to be wrong. */
function problemOf(request: ContactRequest, contact: AwarenessContact): ContactRefusal | undefined {
  const problem = validateStanza({ kind: "awarenessContact", value: contact });
  if (problem !== undefined) return { code: problem.code, refusal: problem.details.replace(FIELD_PREFIX, "") };
  if (contact.action === ContactAction.LIST) return undefined;
  return contact.to?.eid === request.eid ? { code: ErrorCode.FIELD_WRONG, refusal: "to.eid: is yourself" } : undefined;
}

async function change(
  options: ContactHandlerOptions,
  request: ContactRequest,
  contact: AwarenessContact,
): Promise<ContactAnswer> {
  const { eid, device } = request;
  const peer = contact.to?.eid ?? "";
  const stanza = { ...contact, timestamp: timestampOf(contact) };
  const full = contact.action === ContactAction.REQUEST ? await fullProblem(options, eid, peer) : undefined;
  const { record, result, written } = await options.store.change(eid, peer, options.replica, (record) =>
    decide(record, stanza, request, full),
  );
  if ("refusal" in result) return refused(result);

  const { askerAlone = false } = result;
  const { BLOCK, UNBLOCK } = ContactAction;
  // At a repeat too: the word may have been lost.
  if (contact.action === BLOCK || contact.action === UNBLOCK) options.flowChanged(eid, peer);
  const { answer, toPeer } = toldOf(result, { stanza, request, record });
  // A change that was written is told to all, if only of how exactly the other may know where one is.
  if (!askerAlone || written) options.tellUser(eid, answer, device);
  if (toPeer !== undefined) options.tellUser(peer, toPeer, "");
  return { contacts: [answer] };
}

/** What the two are told. */
function toldOf(
  { toActor, toPeer }: Exclude<Transition, ContactRefusal>,
  of: { stanza: AwarenessContact; request: ContactRequest; record: ContactRecord },
): { answer: Uint8Array; toPeer: Uint8Array | undefined } {
  const answer = toldStanza(toActor, of);
  if (toPeer === undefined) return { answer, toPeer: undefined };
  return { answer, toPeer: toPeer === toActor ? answer : toldStanza(toPeer, of) };
}

function decide(
  record: ContactRecord,
  stanza: AwarenessContact,
  request: ContactRequest,
  full: ContactRefusal | undefined,
): Decision<Transition | ContactRefusal> {
  const result = wasDone(record, stanza) ?? transition(record, stanza.action, stanza.relationship);
  if ("refusal" in result) return { draft: record, result };
  if (full !== undefined && !isRelation(record)) return { draft: record, result: full };
  const complete = (record: ContactRecord): ContactRecord => {
    const { answer, toPeer } = toldOf(result, { stanza, request, record });
    return withTold(record, answer, toPeer);
  };
  return { draft: draftOf(record, result, stanza), result, complete };
}

/** The answer to a DENY got lost, and it came again: it was done. */
function wasDone(record: ContactRecord, stanza: AwarenessContact): Transition | undefined {
  if (stanza.action !== ContactAction.DENY || stanza.trackingId === "" || record.told === "") return undefined;
  const { action, trackingId, from } = fromBinary(AwarenessContactSchema, Buffer.from(record.told, "base64"));
  if (action !== stanza.action || trackingId !== stanza.trackingId || from?.eid !== record.eid) return undefined;
  const { own, other, blocks, blockedBy } = record;
  return { toActor: { action, from: "actor" }, askerAlone: true, after: { own, other, blocks, blockedBy } };
}

/** What follows when one of the two has as many relations as there may be, and none with the other yet. */
async function fullProblem(
  { lists, maxContacts }: ContactHandlerOptions,
  eid: string,
  peer: string,
): Promise<ContactRefusal | undefined> {
  const [own, other] = await Promise.all([lists.of(eid), lists.of(peer)]);
  const count = countRelations(own);
  const code = ErrorCode.CONFLICT;
  if (count >= maxContacts) return { code, refusal: `to.eid: you have ${count} contacts, the most there may be` };
  // Those who only ask count here: each of their requests is told to every device that connects.
  if ([...other.values()].filter(isRelation).length < maxContacts) return undefined;
  return { code, refusal: "to.eid: has as many contacts as there may be" };
}

function toldStanza(
  { action, relationship, from, details }: Telling,
  of: { stanza: AwarenessContact; request: ContactRequest; record: ContactRecord },
): Uint8Array {
  const { stanza, request, record } = of;
  const isPeers = from === "peer";
  return encodeContact({
    from: isPeers ? { eid: record.peer } : senderOf(request),
    to: { eid: isPeers ? record.eid : record.peer },
    trackingId: stanza.trackingId,
    relationship: relationship ?? stanza.relationship,
    action,
    timestamp: stanza.timestamp,
    details: details ?? stanza.details,
    locationPrecisionM: isPeers ? record.otherPrecisionM : record.precisionM,
  });
}

/** Now, where the stanza tells no time that a number can hold. */
function timestampOf({ timestamp }: AwarenessContact): bigint {
  return timestamp > 0n && timestamp <= BigInt(Number.MAX_SAFE_INTEGER) ? timestamp : BigInt(Date.now());
}

function refused({ code, refusal }: ContactRefusal): ContactAnswer {
  return { code, details: refusal };
}
