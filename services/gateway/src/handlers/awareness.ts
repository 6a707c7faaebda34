import type { Awareness, Frame } from "@bimip/protocol";
import { PROCEDURES } from "@bimip/nats";
import { ask, type AskedStanza, deadlineMs, payloadOf } from "../awareness/ask.js";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { flowRefusal, tooMany } from "./refusals.js";

const MAX_DIRECTED = 64;

/**
 * What a device says of its user's presence: to all who may see it, or to one user alone. Answered only when it is refused. A
 * flood of the former is one question at a time, for the newest.
 */
export function handleAwareness(
  gateway: Gateway,
  session: Session,
  { id, type, to }: Awareness,
  frame: Frame,
): void | Promise<void> {
  const { asked } = session.requests;
  const work = (): Promise<void> => tell(gateway, session, stanza, payloadOf(frame));
  const stanza = { id, deadlineMs: deadlineMs() };
  if (to === undefined || to.eid === "") return asked.add("state", work, type);
  if (asked.count("directed") < MAX_DIRECTED) return asked.add("directed", work);
  session.fail(tooMany(MAX_DIRECTED, "directed awareness wait", id));
}

async function tell(gateway: Gateway, session: Session, stanza: AskedStanza, awareness: Uint8Array): Promise<void> {
  const { eid, device, id: sessionId } = session;
  if (session.ended) return; // nobody is present by it any more
  const request = { eid, device, node: gateway.node, sessionId, awareness };
  const answer = await ask(gateway, session, PROCEDURES.awareness, request, stanza);
  if (answer.code !== 0) throw flowRefusal(answer, "awareness", stanza.id);
}
