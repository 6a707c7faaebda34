import type { ContactRecord, ContactState, PendingRequest } from "@bimip/nats";
import { fromOtherSide } from "./who-may-see.js";

/** What a change may change of a record. */
export type ContactDraft = ContactState &
  Pick<ContactRecord, "precisionM" | "otherPrecisionM" | "request" | "otherRequest">;

/** Two users who have nothing with each other. */
export const NOTHING: ContactDraft = {
  own: "none",
  other: "none",
  blocks: false,
  blockedBy: false,
  precisionM: 0,
  otherPrecisionM: 0,
  request: null,
  otherRequest: null,
};

/** Of a pair that has no record. */
export function emptyRecord(eid: string, peer: string): ContactRecord {
  return { eid, peer, ...NOTHING, told: "", otherTold: "", before: NOTHING, beforeAtMs: 0, atMs: 0, by: "" };
}

/** The record after a change, which keeps how the two stood before. */
export function changedRecord(
  record: ContactRecord,
  draft: ContactDraft,
  { atMs, by }: { atMs: number; by: string },
): ContactRecord {
  return inOrder({
    ...record,
    ...draft,
    told: "",
    otherTold: "",
    before: stateOf(record),
    beforeAtMs: record.atMs,
    atMs,
    by,
  });
}

/** The record, keeping what the two are told of its change: encoded AwarenessContacts, undefined = nothing. */
export function withTold(record: ContactRecord, own: Uint8Array, other: Uint8Array | undefined): ContactRecord {
  const text = (bytes: Uint8Array = new Uint8Array()): string => Buffer.from(bytes).toString("base64");
  return inOrder({ ...record, told: text(own), otherTold: text(other) });
}

/** The same as the other of the two sees it. */
export function mirrorOf(record: ContactRecord): ContactRecord {
  return inOrder({
    ...record,
    ...fromOtherSide(record),
    eid: record.peer,
    peer: record.eid,
    precisionM: record.otherPrecisionM,
    otherPrecisionM: record.precisionM,
    request: record.otherRequest,
    otherRequest: record.request,
    told: record.otherTold,
    otherTold: record.told,
    before: fromOtherSide(record.before),
  });
}

/** Whether nothing of what a change may change differs. */
export function isSame(record: ContactRecord, draft: ContactDraft): boolean {
  return JSON.stringify(inOrder(record)) === JSON.stringify(inOrder({ ...record, ...draft }));
}

/** Whether there is anything between the two. */
export function isRelation({ own, other, blocks }: ContactState): boolean {
  return own !== "none" || other !== "none" || blocks;
}

/** Always in this order, so that equal records are equal texts. */
function inOrder(record: ContactRecord): ContactRecord {
  return {
    eid: record.eid,
    peer: record.peer,
    ...stateOf(record),
    precisionM: record.precisionM,
    otherPrecisionM: record.otherPrecisionM,
    request: requestInOrder(record.request),
    otherRequest: requestInOrder(record.otherRequest),
    told: record.told,
    otherTold: record.otherTold,
    before: stateOf(record.before),
    beforeAtMs: record.beforeAtMs,
    atMs: record.atMs,
    by: record.by,
  };
}

function stateOf({ own, other, blocks, blockedBy }: ContactState): ContactState {
  return { own, other, blocks, blockedBy };
}

function requestInOrder(request: PendingRequest | null): PendingRequest | null {
  return request === null ? null : { trackingId: request.trackingId, details: request.details, atMs: request.atMs };
}
