import type { Frame, LocationStream } from "@bimip/protocol";
import { payloadOf } from "../awareness/ask.js";
import type { Session } from "../session.js";

/** A position: live only, unanswered but for a refusal. */
export function handleLocation(session: Session, { id }: LocationStream, frame: Frame): void {
  session.requests.location.say({ id, bytes: payloadOf(frame) });
}
