import { BimipError, ErrorCode, encodeSent, type Frame, type Message, toStored } from "@bimip/protocol";
import { type AppendResult, entryId } from "@bimip/nats";
import type { Flow } from "../flow-policy.js";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";

const KIND = "message";
/** Keeps a copy's id apart from that of a message to oneself. */
const COPY_KIND = "copy";
/** Tokens for machines: nothing of what they send is kept in their own log. */
const NO_COPY_SCOPE = "no-copy";

/** After a 503 the sender's next messages to that recipient are refused for so long: what is already on its way must not overtake the repeat. */
const REFUSED_MS = 1_000;

/** A message on its way from the device to the logs. */
export interface Undecided {
  readonly frame: Frame;
  readonly id: string;
  readonly to: string;
  readonly startedMs: number;
}

/** The path of a message: decide the flow, append to the logs, answer SENT. Delivery is NATS's republish. */
export function handleMessage(gateway: Gateway, session: Session, frame: Frame, message: Message): void {
  const { id } = message;
  const to = message.to?.eid ?? "";
  if (session.unconfirmed >= gateway.limits.maxUnconfirmed) {
    const details = `more than ${gateway.limits.maxUnconfirmed} messages wait for their SENT, try again in 1 s`;
    return session.fail(new BimipError(ErrorCode.TOO_FAST, details, { id }));
  }
  if (isRefused(session, to)) return session.fail(tryAgain(id));
  session.unconfirmed++;
  const outgoing: Undecided = { frame, id, to, startedMs: performance.now() };
  const waiting = session.undecided.get(to);
  if (waiting !== undefined) return void waiting.push(outgoing);
  const known = gateway.policy.known(session.eid, to);
  if (known !== undefined) return append(gateway, session, known, outgoing);
  session.undecided.set(to, [outgoing]);
  void decide(gateway, session, to);
}

/** Messages to one recipient wait in line while the router is asked; when it does not answer, they fail together. */
async function decide(gateway: Gateway, session: Session, to: string): Promise<void> {
  let flow: Flow | undefined;
  let failure: BimipError | undefined;
  try {
    flow = await gateway.policy.decide(session.eid, to);
  } catch (error) {
    failure = BimipError.from(error);
  }
  const waiting = session.undecided.get(to) ?? [];
  session.undecided.delete(to);
  if (flow === undefined) refuseForAWhile(session, to);
  for (const outgoing of waiting) {
    if (flow !== undefined) {
      append(gateway, session, flow, outgoing);
      continue;
    }
    session.unconfirmed--;
    session.fail(failure === undefined ? tryAgain(outgoing.id) : forStanza(failure, outgoing.id));
  }
}

function isRefused(session: Session, to: string): boolean {
  const untilMs = session.refusedUntilMs.get(to);
  if (untilMs === undefined) return false;
  if (performance.now() < untilMs) return true;
  session.refusedUntilMs.delete(to);
  return false;
}

function refuseForAWhile(session: Session, to: string): void {
  session.refusedUntilMs.set(to, performance.now() + REFUSED_MS);
}

function tryAgain(id: string): BimipError {
  return new BimipError(ErrorCode.TRY_AGAIN, "not stored, try again with the same id", { id });
}

function append(gateway: Gateway, session: Session, flow: Flow, outgoing: Undecided): void {
  const { frame, id, to, startedMs } = outgoing;
  if (flow.refusal !== undefined) {
    session.unconfirmed--;
    return session.fail(forStanza(flow.refusal, id));
  }
  const payload = toStored(frame, { from: session.identity, timestampMs: Date.now() });
  const sender = session.eid;
  const copies = to !== sender && !session.claims.scopes.has(NO_COPY_SCOPE);
  let missing = copies ? 2 : 1;
  let index = 0;
  let copyIndex = 0;
  let failure: (AppendResult & { ok: false }) | undefined;
  const settle = (result: AppendResult, isCopy: boolean): void => {
    if (!result.ok) failure = result;
    else if (isCopy) copyIndex = result.sequence;
    else index = result.sequence;
    if (--missing > 0) return;
    session.unconfirmed--;
    if (failure === undefined) {
      gateway.metrics.sentSeconds.observe((performance.now() - startedMs) / 1_000);
      session.send(
        encodeSent({
          id,
          toEid: to,
          monotonicId: index,
          logId: to === sender ? index : copyIndex,
          timestampMs: Date.now(),
        }),
      );
      return;
    }
    gateway.logger.warn({ reason: failure.reason, stanza: id }, "message not confirmed");
    if (!failure.retryable) return session.fail(new BimipError(ErrorCode.INTERNAL, "cannot be stored", { id }));
    refuseForAWhile(session, to);
    session.fail(tryAgain(id));
  };
  gateway.publisher.append(
    { subject: flow.logSubject, payload, entryId: entryId(to, KIND, sender, id), lane: `${session.id}>${to}` },
    (result) => settle(result, false),
  );
  if (!copies) return;
  gateway.publisher.append(
    {
      subject: session.logSubject,
      payload,
      entryId: entryId(sender, COPY_KIND, sender, copyId(to, id)),
      lane: session.id,
    },
    (result) => settle(result, true),
  );
}

function forStanza({ code, details }: BimipError, id: string): BimipError {
  return new BimipError(code, details, { id });
}

/** An id is unique per sender and recipient, so the copies of one id to two recipients are two entries. */
function copyId(to: string, id: string): string {
  return `${to.length}:${to}${id}`;
}
