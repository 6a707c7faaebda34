import type { ContactRecord, ContactSide, PendingRequest } from "@bimip/nats";
import { type AwarenessContact, ContactAction } from "@bimip/protocol";
import { type ContactDraft, NOTHING } from "./contact-pair.js";
import type { ContactRefusal, Transition } from "./contact-table.js";

/** What a pair's record is to hold after a transition: the sides, and with them requests and precisions. */
export function draftOf(
  record: ContactRecord,
  { after, toActor }: Exclude<Transition, ContactRefusal>,
  stanza: AwarenessContact,
): ContactDraft {
  if (after.own === "none" && after.other === "none") return { ...NOTHING, ...after };
  const isAsking = stanza.action === ContactAction.REQUEST;
  const setsPrecision = isAsking || (stanza.action === ContactAction.ACCEPT && toActor.action !== ContactAction.ERROR);
  return {
    ...after,
    // 0 is what a stanza has that says nothing of it: what was said before holds.
    precisionM: setsPrecision && stanza.locationPrecisionM !== 0 ? stanza.locationPrecisionM : record.precisionM,
    otherPrecisionM: record.otherPrecisionM,
    request: isAsked(after.own) ? (isAsking ? requestOf(record, after.own, stanza) : record.request) : null,
    otherRequest: isAsked(after.other) ? record.otherRequest : null,
  };
}

/** The same request again is the one that waits already. */
function requestOf(record: ContactRecord, own: ContactSide, stanza: AwarenessContact): PendingRequest {
  const { request } = record;
  const { trackingId, details } = stanza;
  const isRepeat = record.own === own && request?.trackingId === trackingId && request.details === details;
  return isRepeat ? request : { trackingId, details, atMs: Number(stanza.timestamp) };
}

function isAsked(side: ContactSide): boolean {
  return side === "askedFollow" || side === "askedContact" || side === "followsAskedContact";
}
