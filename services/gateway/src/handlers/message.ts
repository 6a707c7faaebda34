import {
  BimipError,
  ErrorCode,
  encodeSent,
  type Frame,
  type Message,
  type PushNotification,
  toStored,
} from "@bimip/protocol";
import { type AppendResult, entryId } from "@bimip/nats";
import type { Flow } from "../flow-policy.js";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { forStanza, tooMany, tryAgainUnlessKnown } from "./refusals.js";

/**
 * What the entry ids of a kind begin with. A message and a push notification of one id are two entries; a copy's id is
 * kept apart from that of a message to oneself.
 */
const KINDS = {
  message: { entry: "message", copy: "copy" },
  pushNotification: { entry: "push", copy: "push-copy" },
} as const;
type Kind = keyof typeof KINDS;

/** Tokens for machines: nothing of what they send is kept in their own log. */
const NO_COPY_SCOPE = "no-copy";
/** Who may send PushNotifications. */
const PUSH_SCOPE = "push";

/**
 * From the first failure on, the session's messages to that recipient are refused until the earliest that failed comes
 * again: what is already on its way must not overtake it. A client that never repeats it is let through after so long.
 */
const REFUSED_MS = 15_000;
const NOT_STORED_DETAILS = "not stored, try again with the same id";

/** A message on its way from the device to the logs. */
export interface Undecided {
  readonly kind: Kind;
  readonly frame: Frame;
  readonly id: string;
  readonly to: string;
  /** The client's; epoch milliseconds. */
  readonly timestamp: bigint;
  readonly startedMs: number;
  /** Place in the order of this session's messages. */
  readonly order: number;
}

/** Where a message stands already; 0 = it does not. */
interface Stored {
  readonly index: number;
  readonly copyIndex: number;
}

const NOT_STORED: Stored = { index: 0, copyIndex: 0 };

/** The path of a message: decide the flow, append to the logs, answer SENT. Delivery is NATS's republish. */
export function handleMessage(gateway: Gateway, session: Session, message: Message, frame: Frame): void {
  take(gateway, session, "message", message, frame);
}

/** The same path, for tokens that may. */
export function handlePushNotification(
  gateway: Gateway,
  session: Session,
  notification: PushNotification,
  frame: Frame,
): void {
  if (session.claims.scopes.has(PUSH_SCOPE)) return take(gateway, session, "pushNotification", notification, frame);
  const details = `push_notification: the token's scope lacks the word ${PUSH_SCOPE}`;
  session.fail(new BimipError(ErrorCode.NOT_ALLOWED, details, { id: notification.id }));
}

function take(
  gateway: Gateway,
  session: Session,
  kind: Kind,
  { id, to: recipient, timestamp }: Message | PushNotification,
  frame: Frame,
): void {
  const to = recipient?.eid ?? "";
  const { maxUnconfirmed } = gateway.limits;
  if (session.unconfirmed >= maxUnconfirmed) {
    return session.fail(tooMany(maxUnconfirmed, "messages wait for their SENT", id));
  }
  if (isRefused(session, to, id)) return session.fail(tryAgain(id));
  session.unconfirmed++;
  const outgoing: Undecided = { kind, frame, id, to, timestamp, startedMs: performance.now(), order: session.taken++ };
  const waiting = session.undecided.get(to);
  if (waiting !== undefined) return void waiting.push(outgoing);
  const known = gateway.policy.known(session.eid, to);
  if (known !== undefined && !gateway.lateResends.isLate(timestamp)) {
    return append(gateway, session, known, outgoing, NOT_STORED);
  }
  const line = [outgoing];
  session.undecided.set(to, line);
  void work(gateway, session, to, line);
}

/**
 * Messages to one recipient wait in line, in order, while the router is asked, or a log for a late repeat. When that
 * fails they fail together.
 */
async function work(gateway: Gateway, session: Session, to: string, line: Undecided[]): Promise<void> {
  try {
    for (let outgoing = line[0]; outgoing !== undefined; outgoing = line[0]) {
      const flow = gateway.policy.known(session.eid, to) ?? (await gateway.policy.decide(session.eid, to));
      const late = flow.refusal === undefined && gateway.lateResends.isLate(outgoing.timestamp);
      const stored = late ? await lookUp(gateway, session, outgoing) : NOT_STORED;
      line.shift();
      append(gateway, session, flow, outgoing, stored);
    }
  } catch (error) {
    gateway.logger.warn({ err: error }, "messages refused for now");
    for (const outgoing of line.slice(0, 1)) refuseBehind(session, outgoing);
    for (const { id } of line) {
      session.unconfirmed--;
      session.fail(tryAgainUnlessKnown(error, id, NOT_STORED_DETAILS));
    }
  } finally {
    session.undecided.delete(to);
  }
}

/** Where a message stands that may be a repeat of what JetStream has forgotten. */
async function lookUp(gateway: Gateway, session: Session, outgoing: Undecided): Promise<Stored> {
  const timestampMs = Number(outgoing.timestamp);
  const find = (eid: string, id: string): Promise<number | undefined> =>
    gateway.lateResends.find(session, eid, id, timestampMs);
  const [index, copyIndex] = await Promise.all([
    find(outgoing.to, entryIdOf(session, outgoing)),
    leavesCopy(session, outgoing) ? find(session.eid, copyIdOf(session, outgoing)) : undefined,
  ]);
  if (index !== undefined) gateway.metrics.lateRepeats.inc();
  return { index: index ?? 0, copyIndex: copyIndex ?? 0 };
}

function isRefused(session: Session, to: string, id: string): boolean {
  const refusal = session.refusals.get(to);
  if (refusal === undefined) return false;
  if (refusal.id !== id && performance.now() < refusal.untilMs) return true;
  session.refusals.delete(to);
  return false;
}

function refuseBehind(session: Session, { id, to, order }: Undecided): void {
  const before = session.refusals.get(to);
  const earliest = before !== undefined && before.order < order ? before : { id, order };
  session.refusals.set(to, { id: earliest.id, order: earliest.order, untilMs: performance.now() + REFUSED_MS });
}

function tryAgain(id: string): BimipError {
  return new BimipError(ErrorCode.TRY_AGAIN, NOT_STORED_DETAILS, { id });
}

/** Appends what is not `stored` yet, then answers. */
function append(gateway: Gateway, session: Session, flow: Flow, outgoing: Undecided, stored: Stored): void {
  const { frame, id, to } = outgoing;
  if (flow.refusal !== undefined) {
    session.unconfirmed--;
    return session.fail(forStanza(flow.refusal, id));
  }
  let { index, copyIndex } = stored;
  const needsEntry = index === 0;
  const needsCopy = copyIndex === 0 && leavesCopy(session, outgoing);
  let missing = Number(needsEntry) + Number(needsCopy);
  if (missing === 0) return answerSent(gateway, session, outgoing, index, copyIndex);
  let failure: (AppendResult & { ok: false }) | undefined;
  const settle = (result: AppendResult, isCopy: boolean): void => {
    if (!result.ok) {
      failure = result;
      // Not only once the other append has ended as well: what comes until then would overtake the repeat.
      if (result.retryable) refuseBehind(session, outgoing);
    } else if (isCopy) copyIndex = result.sequence;
    else index = result.sequence;
    if (--missing > 0) return;
    if (failure === undefined) return answerSent(gateway, session, outgoing, index, copyIndex);
    session.unconfirmed--;
    gateway.logger.warn({ reason: failure.reason, stanza: id }, "message not confirmed");
    if (!failure.retryable) return session.fail(new BimipError(ErrorCode.INTERNAL, "cannot be stored", { id }));
    session.fail(tryAgain(id));
  };
  const payload = toStored(frame, { from: session.identity, timestampMs: Date.now() });
  if (needsEntry) {
    gateway.publisher.append(
      { subject: flow.logSubject, payload, entryId: entryIdOf(session, outgoing), lane: `${session.id}>${to}` },
      (result) => settle(result, false),
    );
  }
  if (needsCopy) {
    gateway.publisher.append(
      { subject: session.logSubject, payload, entryId: copyIdOf(session, outgoing), lane: session.id },
      (result) => settle(result, true),
    );
  }
}

function answerSent(gateway: Gateway, session: Session, outgoing: Undecided, index: number, copyIndex: number): void {
  const { id, to, startedMs } = outgoing;
  session.unconfirmed--;
  gateway.metrics.sentSeconds.observe((performance.now() - startedMs) / 1_000);
  const logId = to === session.eid ? index : copyIndex;
  session.send(encodeSent({ id, toEid: to, monotonicId: index, logId, timestampMs: Date.now() }));
}

function leavesCopy(session: Session, { to }: Undecided): boolean {
  return to !== session.eid && !session.claims.scopes.has(NO_COPY_SCOPE);
}

function entryIdOf({ eid }: Session, { kind, to, id }: Undecided): string {
  return entryId(to, KINDS[kind].entry, eid, id);
}

/** An id is unique per sender and recipient, so the copies of one id to two recipients are two entries. */
function copyIdOf({ eid }: Session, { kind, to, id }: Undecided): string {
  return entryId(eid, KINDS[kind].copy, eid, `${to.length}:${to}${id}`);
}
