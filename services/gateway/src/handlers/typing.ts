import { type Frame, type Signal, stampSignal } from "@bimip/protocol";
import { SUBJECTS } from "@bimip/nats";
import type { Flow } from "../flow-policy.js";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { flowRefusal } from "./refusals.js";

/** Typing and recording: to the online devices of `to` and nowhere else, unanswered; dropped when it cannot go now. */
export function handleTyping(gateway: Gateway, session: Session, signal: Signal, frame: Frame): void | Promise<void> {
  if (gateway.overload.sheds) return gateway.overload.shed("typing");
  const flow = gateway.policy.known(session.eid, signal.to?.eid ?? "");
  if (flow !== undefined) return publish(gateway, session, flow, signal, frame);
  return decideAndPublish(gateway, session, signal, frame);
}

async function decideAndPublish(gateway: Gateway, session: Session, signal: Signal, frame: Frame): Promise<void> {
  if (session.typingUnderWay >= gateway.limits.maxUnconfirmed) return;
  session.typingUnderWay++;
  try {
    publish(gateway, session, await gateway.policy.decide(session.eid, signal.to?.eid ?? ""), signal, frame);
  } catch {
    // No router answered for so long that nobody is typing that any more.
  } finally {
    session.typingUnderWay--;
  }
}

function publish(gateway: Gateway, session: Session, flow: Flow, signal: Signal, frame: Frame): void {
  if (flow.refusal !== undefined) return session.fail(flowRefusal(flow.refusal, "signal", signal.id));
  if (!gateway.link.up) return;
  const bytes = stampSignal(frame, session.identity, Date.now());
  gateway.link.nc.publish(SUBJECTS.stanza(signal.to?.eid ?? ""), bytes);
}
