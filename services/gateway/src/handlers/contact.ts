import { type AwarenessContact, BimipError, encodePayload, ErrorCode, type Frame } from "@bimip/protocol";
import { PROCEDURES } from "@bimip/nats";
import { ask, type AskedStanza, deadlineMs, payloadOf } from "../awareness/ask.js";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { flowRefusal, tooMany } from "./refusals.js";

/** Contacts and visibility of one session that wait. */
export const MAX_SETTINGS = 64;
/** A device that takes nothing for so long does not get the rest, so that what waits behind it goes on. */
const TAKEN_WITHIN_MS = 10_000;

/** Requests, answers, blocks, LIST: whatever awareness answers goes to the device that asked. */
export function handleContact(
  gateway: Gateway,
  session: Session,
  contact: AwarenessContact,
  frame: Frame,
): void | Promise<void> {
  const { trackingId } = contact;
  const { asked } = session.requests;
  if (asked.count("setting") >= MAX_SETTINGS) return session.fail(tooMany(MAX_SETTINGS, "contacts wait", trackingId));
  const stanza = { id: trackingId, deadlineMs: deadlineMs() };
  return asked.add("setting", () => exchange(gateway, session, stanza, payloadOf(frame)));
}

/** LIST comes in pages, which are sent as the device takes them. */
async function exchange(gateway: Gateway, session: Session, asked: AskedStanza, contact: Uint8Array): Promise<void> {
  const { eid, device } = session;
  const { id } = asked;
  let stanza = asked;
  let after = "";
  do {
    const request = { eid, device, node: gateway.node, contact, after };
    const answer = await ask(gateway, session, PROCEDURES.contact, request, stanza);
    if (answer.code !== 0) throw flowRefusal(answer, "awarenessContact", id);
    await sendAll(session, answer.contacts, id);
    after = answer.next;
    stanza = { id, deadlineMs: deadlineMs() };
  } while (after !== "" && !session.ended);
}

async function sendAll(session: Session, contacts: readonly Uint8Array[], id: string): Promise<void> {
  const { awareness } = session;
  for (const bytes of contacts) {
    if (awareness.congested && !(await awareness.writable(performance.now() + TAKEN_WITHIN_MS))) {
      throw new BimipError(ErrorCode.TRY_AGAIN, "the list was not taken in time, ask again", { id });
    }
    session.send(encodePayload("awarenessContact", bytes));
  }
}
