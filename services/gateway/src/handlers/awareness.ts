import { type Awareness, AwarenessType, type Frame } from "@bimip/protocol";
import { PROCEDURES } from "@bimip/nats";
import { ask, type AskedStanza, deadlineMs, payloadOf } from "../awareness/ask.js";
import { kindOf } from "../awareness/asked-in-order.js";
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
  said: Awareness,
  frame: Frame,
): void | Promise<void> {
  const { asked } = session.requests;
  const { id, type, to } = said;
  // Nobody is present by a session that has ended; a status of type 2 is the user's.
  const isOver = (): boolean => session.ended && type !== AwarenessType.STATUS;
  const stanza = { id, deadlineMs: deadlineMs(), isOver };
  const work = async (): Promise<void> => {
    if (!isOver()) await tell(gateway, session, stanza, payloadOf(frame));
  };
  if (to === undefined || to.eid === "") return asked.add(kindOf(said), work);
  if (asked.count("directed") < MAX_DIRECTED) return asked.add("directed", work);
  session.fail(tooMany(MAX_DIRECTED, "directed awareness wait", id));
}

async function tell(gateway: Gateway, session: Session, stanza: AskedStanza, awareness: Uint8Array): Promise<void> {
  const { eid, device, id: sessionId } = session;
  const request = { eid, device, node: gateway.node, sessionId, awareness };
  const answer = await ask(gateway, session, PROCEDURES.awareness, request, stanza);
  if (answer.code !== 0) throw flowRefusal(answer, "awareness", stanza.id);
}
