import { SCOPES } from "@bimip/auth";
import { BimipError, ErrorCode, peekNames, type StanzaKind, stanzaName } from "@bimip/protocol";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { rateClassOf, type TooFast } from "./rates.js";
import { seconds } from "./seconds.js";

const TRY_AGAIN_MS = 1_000;

/**
 * Whether a stanza of this kind may go on; if not, it was answered. Called before the frame is decoded: what is refused costs
 * next to nothing, whatever it holds. Undefined = not known, or no stanza.
 */
export function mayEnter(gateway: Gateway, session: Session, kind: StanzaKind | undefined, bytes: Uint8Array): boolean {
  const name = rateClassOf(kind);
  const tooFast = gateway.rates?.take(session.id, session.eid, name, bytes.length, performance.now());
  if (tooFast !== undefined) {
    refuse(gateway, session, kind, bytes, tooFast);
    return false;
  }
  return !gateway.overload.sheds || !shed(gateway, session, kind, bytes);
}

/** 429. What names itself is answered each time; what does not, once in the time that it was told to wait. */
function refuse(
  gateway: Gateway,
  session: Session,
  kind: StanzaKind | undefined,
  bytes: Uint8Array,
  { limit, of, perSecond, waitMs }: TooFast,
): void {
  const name = rateClassOf(kind);
  gateway.metrics.rateRefusals.inc({ limit, of });
  const whose = of === "user" ? " of this account" : "";
  const what = limit === "bytes" ? "bytes a second" : "a second";
  const details = `${nameOf(kind)}: more than ${perSecond} ${what}${whose}, try again in ${seconds(waitMs)}`;
  const id = namedId(gateway, session, bytes);
  const error = new BimipError(ErrorCode.TOO_FAST, details, { id });
  if (id === undefined && !session.refused.tell(name, waitMs)) gateway.abuse.note(session, error);
  else session.fail(error);
}

/** 503 for what is answered; what is of the moment is dropped. Receipts, RESUME, queries and pings go on. */
function shed(gateway: Gateway, session: Session, kind: StanzaKind | undefined, bytes: Uint8Array): boolean {
  const name = rateClassOf(kind);
  if (name !== "messages" && name !== "awareness" && name !== "location") return false;
  gateway.overload.shed(name);
  if (name === "location") return true;
  const id = namedId(gateway, session, bytes);
  const details = `${nameOf(kind)}: the gateway is overloaded, try again in ${seconds(TRY_AGAIN_MS)}`;
  if (id !== undefined || (name === "messages" && session.refused.tell(name, TRY_AGAIN_MS))) {
    session.fail(new BimipError(ErrorCode.TRY_AGAIN, details, { id }));
  }
  return true;
}

/** The stanza's id. What follows a message that is not taken waits for it, as behind one that could not be stored. */
function namedId({ limits }: Gateway, session: Session, bytes: Uint8Array): string | undefined {
  if (bytes.length > limits.maxStanzaBytes) return undefined;
  const { kind, id, to } = peekNames(bytes);
  if (isStored(session, kind) && id !== undefined && to !== undefined) {
    const { outgoing } = session;
    outgoing.refuseBehind({ id, to, order: outgoing.nextOrder() });
  }
  return id;
}

/** Whether it would be stored once it comes again. For what would not, messages would wait in vain. */
function isStored({ claims }: Session, kind: StanzaKind | undefined): boolean {
  return kind === "message" || (kind === "pushNotification" && claims.scopes.has(SCOPES.push));
}

function nameOf(kind: StanzaKind | undefined): string {
  return kind === undefined ? "frame" : stanzaName(kind);
}
