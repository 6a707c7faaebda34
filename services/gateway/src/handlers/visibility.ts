import { type AwarenessVisibility, AwarenessVisibilitySchema, BimipError, encodeStanza } from "@bimip/protocol";
import { PROCEDURES } from "@bimip/nats";
import { create } from "@bufbuild/protobuf";
import { ask, type AskedStanza, deadlineMs } from "../awareness/ask.js";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { MAX_SETTINGS } from "./contact.js";
import { tooMany } from "./refusals.js";

/** The user's setting. It is confirmed here to the device that made it; awareness tells the user's others. */
export function handleVisibility(
  gateway: Gateway,
  session: Session,
  visibility: AwarenessVisibility,
): void | Promise<void> {
  const { asked } = session.requests;
  const { id } = visibility;
  if (asked.count("setting") >= MAX_SETTINGS)
    return session.fail(tooMany(MAX_SETTINGS, "contacts and visibilities wait", id));
  const stanza = { id, deadlineMs: deadlineMs() };
  return asked.add("setting", () => set(gateway, session, visibility, stanza));
}

async function set(
  gateway: Gateway,
  session: Session,
  { id, type, details }: AwarenessVisibility,
  stanza: AskedStanza,
): Promise<void> {
  const { node } = gateway;
  const { eid, device, claims } = session;
  const request = { id, eid, deviceId: device, node, type, displayName: claims.name ?? "" };
  const answer = await ask(gateway, session, PROCEDURES.visibility, request, stanza);
  if (answer.status !== 0) throw new BimipError(answer.status, answer.message, { id });
  const from = { eid, connectionResourceId: device, node };
  const confirmed = { id, from, type: answer.type, timestamp: answer.timestamp, details };
  session.send(encodeStanza("awarenessVisibility", create(AwarenessVisibilitySchema, confirmed)));
}
