import { SCOPES } from "@bimip/auth";
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
import { within } from "../within.js";
import type { OutgoingMessage } from "./outgoing.js";
import { flowRefusal, tooMany, tryAgainUnlessKnown } from "./refusals.js";

/**
 * What the entry ids of a kind begin with. A message and a push notification of one id are two entries; a copy's id is
 * kept apart from that of a message to oneself.
 */
const KINDS = {
  message: { entry: "message", copy: "copy" },
  pushNotification: { entry: "push", copy: "push-copy" },
} as const;
type Kind = OutgoingMessage["kind"];

const NOT_STORED_DETAILS = "not stored, try again with the same id";

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
  if (session.claims.scopes.has(SCOPES.push)) return take(gateway, session, "pushNotification", notification, frame);
  const details = `push_notification: the token's scope lacks the word ${SCOPES.push}`;
  session.fail(new BimipError(ErrorCode.NOT_ALLOWED, details, { id: notification.id }));
}

function take(
  gateway: Gateway,
  session: Session,
  kind: Kind,
  { id, to: recipient, timestamp }: Message | PushNotification,
  frame: Frame,
): void {
  const { outgoing } = session;
  const message: OutgoingMessage = {
    kind,
    id,
    to: recipient?.eid ?? "",
    timestamp,
    payload: toStored(frame, { from: session.identity, timestampMs: Date.now() }),
    startedMs: performance.now(),
    order: outgoing.nextOrder(),
  };
  if (!outgoing.admits(message)) return session.fail(tryAgain(id));
  const problem = overLimits(gateway, session, message);
  if (problem !== undefined) {
    outgoing.refuseBehind(message);
    return session.fail(problem);
  }
  outgoing.add(message);
  gateway.pending.bytes += message.payload.length;
  const { to } = message;
  const waiting = outgoing.lines.get(to);
  if (waiting !== undefined) return void waiting.push(message);
  const known = gateway.policy.known(session.eid, to);
  if (known !== undefined && !gateway.lateResends.isLate(timestamp)) {
    return append(gateway, session, known, message, NOT_STORED);
  }
  const line = [message];
  outgoing.lines.set(to, line);
  void work(gateway, session, to, line);
}

/** While NATS is away everything waits in memory: not more than this. */
function overLimits(
  { limits, pending }: Gateway,
  { outgoing: { count, bytes } }: Session,
  { id, payload }: OutgoingMessage,
): BimipError | undefined {
  const { maxUnconfirmed, maxPendingBytesPerSession, maxPendingBytes } = limits;
  if (count >= maxUnconfirmed) return tooMany(maxUnconfirmed, "messages wait for their SENT", id);
  if (bytes + payload.length > maxPendingBytesPerSession) {
    return tooMany(maxPendingBytesPerSession, "bytes of messages wait for their SENT", id);
  }
  if (pending.bytes + payload.length <= maxPendingBytes) return undefined;
  return new BimipError(ErrorCode.TRY_AGAIN, "too much waits to be stored here, try again with the same id", { id });
}

/**
 * Messages to one recipient wait in line, in order, while the router is asked, or a log for a late repeat. When that
 * fails, or is not done by the deadline of the first, they fail together.
 */
async function work(gateway: Gateway, session: Session, to: string, line: OutgoingMessage[]): Promise<void> {
  const { outgoing } = session;
  try {
    for (let message = line[0]; message !== undefined; message = line[0]) {
      const deadlineMs = message.startedMs + gateway.limits.sendDeadlineMs;
      const ready = makeReady(gateway, session, message);
      const { flow, stored } = await within(deadlineMs, ready, () => new Error("not looked up by the deadline"));
      line.shift();
      // An earlier one may have failed meanwhile.
      if (outgoing.admits(message)) append(gateway, session, flow, message, stored);
      else refuse(gateway, session, message, tryAgain(message.id));
    }
  } catch (error) {
    gateway.logger.warn({ err: error }, "messages refused for now");
    const [first] = line;
    if (first !== undefined) outgoing.refuseBehind(first);
    for (const message of line) {
      refuse(gateway, session, message, tryAgainUnlessKnown(error, message.id, NOT_STORED_DETAILS));
    }
  } finally {
    outgoing.lines.delete(to);
  }
}

/** What must be known before a message may be appended. */
async function makeReady(
  gateway: Gateway,
  session: Session,
  message: OutgoingMessage,
): Promise<{ readonly flow: Flow; readonly stored: Stored }> {
  const { to, timestamp } = message;
  const flow = gateway.policy.known(session.eid, to) ?? (await gateway.policy.decide(session.eid, to));
  const late = flow.refusal === undefined && gateway.lateResends.isLate(timestamp);
  return { flow, stored: late ? await lookUp(gateway, session, message) : NOT_STORED };
}

/** Where a message stands that may be a repeat of what JetStream has forgotten. */
async function lookUp(gateway: Gateway, session: Session, message: OutgoingMessage): Promise<Stored> {
  const timestampMs = Number(message.timestamp);
  const find = (eid: string, id: string): Promise<number | undefined> =>
    gateway.lateResends.find(session, eid, id, timestampMs);
  const [index, copyIndex] = await Promise.all([
    find(message.to, entryIdOf(session, message)),
    leavesCopy(session, message) ? find(session.eid, copyIdOf(session, message)) : undefined,
  ]);
  if (index !== undefined) gateway.metrics.lateRepeats.inc();
  return { index: index ?? 0, copyIndex: copyIndex ?? 0 };
}

function tryAgain(id: string): BimipError {
  return new BimipError(ErrorCode.TRY_AGAIN, NOT_STORED_DETAILS, { id });
}

/** Appends what is not `stored` yet, then answers. */
function append(gateway: Gateway, session: Session, flow: Flow, message: OutgoingMessage, stored: Stored): void {
  const { kind, id, to, payload } = message;
  session.outgoing.passed(message);
  // It waited in line meanwhile. Nobody is left to be answered; the newer session repeats it.
  if (session.fenced) return forget(gateway, session, message);
  if (flow.refusal !== undefined) return refuse(gateway, session, message, flowRefusal(flow.refusal, kind, id));
  let { index, copyIndex } = stored;
  const needsEntry = index === 0;
  const needsCopy = copyIndex === 0 && leavesCopy(session, message);
  let missing = Number(needsEntry) + Number(needsCopy);
  if (missing === 0) return answerSent(gateway, session, message, index, copyIndex);
  let failure: (AppendResult & { ok: false }) | undefined;
  const settle = (result: AppendResult, isCopy: boolean): void => {
    if (!result.ok) {
      failure = result;
      // Not only once the other append has ended as well: what comes until then would overtake the repeat.
      if (result.retryable) session.outgoing.refuseBehind(message);
    } else if (isCopy) copyIndex = result.sequence;
    else index = result.sequence;
    if (--missing > 0) return;
    if (failure === undefined) return answerSent(gateway, session, message, index, copyIndex);
    gateway.logger.warn({ reason: failure.reason, stanza: id }, "message not confirmed");
    const hopeless = new BimipError(ErrorCode.INTERNAL, "cannot be stored", { id });
    refuse(gateway, session, message, failure.retryable ? tryAgain(id) : hopeless);
  };
  if (needsEntry) {
    gateway.publisher.append(
      { subject: flow.logSubject, payload, entryId: entryIdOf(session, message), lane: `${session.id}>${to}` },
      (result) => settle(result, false),
    );
  }
  if (needsCopy) {
    gateway.publisher.append(
      { subject: session.logSubject, payload, entryId: copyIdOf(session, message), lane: session.id },
      (result) => settle(result, true),
    );
  }
}

function answerSent(
  gateway: Gateway,
  session: Session,
  message: OutgoingMessage,
  index: number,
  copyIndex: number,
): void {
  session.fence.confirm(() => tellSent(gateway, session, message, index, copyIndex));
}

function tellSent(
  gateway: Gateway,
  session: Session,
  message: OutgoingMessage,
  index: number,
  copyIndex: number,
): void {
  const { id, to, startedMs } = message;
  forget(gateway, session, message);
  gateway.metrics.sentSeconds.observe((performance.now() - startedMs) / 1_000);
  const logId = to === session.eid ? index : copyIndex;
  session.send(encodeSent({ id, toEid: to, monotonicId: index, logId, timestampMs: Date.now() }));
  session.delivery.ownTold(logId);
}

function refuse(gateway: Gateway, session: Session, message: OutgoingMessage, error: BimipError): void {
  forget(gateway, session, message);
  session.fail(error);
}

function forget(gateway: Gateway, session: Session, message: OutgoingMessage): void {
  session.outgoing.remove(message);
  gateway.pending.bytes -= message.payload.length;
}

function leavesCopy(session: Session, { to }: OutgoingMessage): boolean {
  return to !== session.eid && !session.claims.scopes.has(SCOPES.noCopy);
}

function entryIdOf({ eid }: Session, { kind, to, id }: OutgoingMessage): string {
  return entryId(to, KINDS[kind].entry, eid, id);
}

/** An id is unique per sender and recipient, so the copies of one id to two recipients are two entries. */
function copyIdOf({ eid }: Session, { kind, to, id }: OutgoingMessage): string {
  return entryId(eid, KINDS[kind].copy, eid, `${to.length}:${to}${id}`);
}
