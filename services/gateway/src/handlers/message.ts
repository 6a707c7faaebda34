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

/** The path of a message: decide the flow, append to the logs, answer SENT. Delivery is NATS's republish. */
export function handleMessage(gateway: Gateway, session: Session, frame: Frame, message: Message): void {
  const { id } = message;
  const to = message.to?.eid ?? "";
  if (session.unconfirmed >= gateway.limits.maxUnconfirmed) {
    const details = `more than ${gateway.limits.maxUnconfirmed} messages wait for their SENT, try again in 1 s`;
    return session.fail(new BimipError(ErrorCode.TOO_FAST, details, { id }));
  }
  session.unconfirmed++;
  const startedMs = performance.now();
  const known = session.undecided.has(to) ? undefined : gateway.policy.known(session.eid, to);
  if (known !== undefined) return append(gateway, session, { frame, id, to, flow: known, startedMs });
  decideFirst(gateway, session, { frame, id, to, startedMs });
}

interface Outgoing {
  readonly frame: Frame;
  readonly id: string;
  readonly to: string;
  readonly startedMs: number;
}

/** Messages to one recipient wait in line while the router is asked. */
function decideFirst(gateway: Gateway, session: Session, outgoing: Outgoing): void {
  const { id, to } = outgoing;
  const before = session.undecided.get(to) ?? Promise.resolve();
  const turn = before.then(async () => {
    try {
      const flow = gateway.policy.known(session.eid, to) ?? (await gateway.policy.decide(session.eid, to));
      append(gateway, session, { ...outgoing, flow });
    } catch (error) {
      session.unconfirmed--;
      session.fail(forStanza(BimipError.from(error), id));
    }
    if (session.undecided.get(to) === turn) session.undecided.delete(to);
  });
  session.undecided.set(to, turn);
}

function append(gateway: Gateway, session: Session, outgoing: Outgoing & { flow: Flow }): void {
  const { frame, id, to, flow, startedMs } = outgoing;
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
  let failure: string | undefined;
  const settle = (result: AppendResult, isCopy: boolean): void => {
    if (!result.ok) failure = result.reason;
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
    gateway.logger.warn({ reason: failure, stanza: id }, "message not confirmed");
    session.fail(new BimipError(ErrorCode.TRY_AGAIN, "not stored, try again with the same id", { id }));
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
