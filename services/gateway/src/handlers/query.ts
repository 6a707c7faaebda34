import { setTimeout as delay } from "node:timers/promises";
import { encodePage, encodeStanza, PageSchema, type Query, QueryType, UnreadSchema } from "@bimip/protocol";
import { call, PROCEDURES } from "@bimip/nats";
import { create } from "@bufbuild/protobuf";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { readPushSubscription } from "./push-subscription.js";
import { tooMany, tryAgainUnlessKnown } from "./refusals.js";
import { sessionsPage } from "./sessions.js";

const DEFAULT_LIMIT = 50;
/** Storage may have to read a long stretch of a log. */
const TIMEOUT_MS = 5_000;
const MAX_UNDER_WAY = 8;

/** Asks storage, or the registry, and answers with a Page of the same id. Wrong types, limits and indexes were refused before. */
export async function handleQuery(gateway: Gateway, session: Session, query: Query): Promise<void> {
  const { id } = query;
  if (session.queriesUnderWay >= MAX_UNDER_WAY) {
    return session.fail(tooMany(MAX_UNDER_WAY, "queries are under way", id));
  }
  session.queriesUnderWay++;
  try {
    session.send(await answer(gateway, session, query));
  } catch (error) {
    session.fail(tryAgainUnlessKnown(error, id, "storage does not answer, try again"));
  } finally {
    session.queriesUnderWay--;
  }
}

async function answer(gateway: Gateway, session: Session, query: Query): Promise<Uint8Array> {
  switch (query.type) {
    case QueryType.HISTORY:
      return history(gateway, session, query);
    case QueryType.SESSIONS:
      return sessionsPage(gateway, session, query.id);
    case QueryType.UNREAD:
      return unread(gateway, session, query);
    case QueryType.PUSH_SUBSCRIBE:
      return subscribe(gateway, session, query.id, readPushSubscription(query.data, gateway.limits.webPushHosts));
    default:
      return subscribe(gateway, session, query.id, "");
  }
}

async function history(gateway: Gateway, session: Session, query: Query): Promise<Uint8Array> {
  const { items, next, done } = await call(
    gateway.link.nc,
    PROCEDURES.history,
    {
      eid: session.eid,
      with: query.with?.eid ?? "",
      before: query.before,
      after: query.after,
      limit: query.limit === 0 ? DEFAULT_LIMIT : query.limit,
    },
    TIMEOUT_MS,
  );
  return encodePage({ id: query.id, items, next: Number(next), done });
}

async function unread(gateway: Gateway, session: Session, query: Query): Promise<Uint8Array> {
  const { eid, device } = session;
  await gateway.progress.settled(eid, device); // who read and then asks gets the new number
  const request = { eid, with: query.with?.eid ?? "" };
  const { rows } = await call(gateway.link.nc, PROCEDURES.unread, request, TIMEOUT_MS);
  const counts = rows.map(({ eid, count, lastId }) => create(UnreadSchema, { with: { eid }, count, lastId }));
  return encodeStanza("page", create(PageSchema, { id: query.id, done: true, unread: counts }));
}

/** @param subscription JSON; empty: none any more */
async function subscribe(gateway: Gateway, session: Session, id: string, subscription: string): Promise<Uint8Array> {
  const { eid, device } = session;
  if (session.logEpoch === 0) await Promise.race([session.log.known, delay(TIMEOUT_MS, undefined, { ref: false })]);
  if (session.logEpoch === 0) throw new Error("storage does not know the device yet");
  await call(gateway.link.nc, PROCEDURES.subscription, { eid, device, subscription }, TIMEOUT_MS);
  return encodePage({ id, items: [], next: 0, done: true });
}
