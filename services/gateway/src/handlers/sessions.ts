import { encodeStanza, PageSchema, SessionSchema } from "@bimip/protocol";
import { PROCEDURES } from "@bimip/nats";
import { create } from "@bufbuild/protobuf";
import { ask } from "../awareness/ask.js";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";

/** As other queries. */
const TIMEOUT_MS = 5_000;

/** The Page that answers Query SESSIONS: the account's open sessions, the newest first. Rejects with BimipError 503 when awareness does not answer. */
export async function sessionsPage(gateway: Gateway, session: Session, id: string): Promise<Uint8Array> {
  const { eid } = session;
  const stanza = { id, deadlineMs: performance.now() + TIMEOUT_MS };
  const answer = await ask(gateway, session, PROCEDURES.sessions, { eid }, stanza);
  const lastSeen = BigInt(Date.now()); // an open session is there now
  const sessions = answer.sessions.map(({ device, node, sessionId, since, address }) =>
    create(SessionSchema, { device, node, since, lastSeen, address, current: sessionId === session.id }),
  );
  return encodeStanza("page", create(PageSchema, { id, done: true, sessions }));
}
