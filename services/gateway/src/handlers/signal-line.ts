import type { Session } from "../session.js";

const lines = new WeakMap<Session, SignalLine>();

/** Signals of one session that are still being worked on. */
export class SignalLine {
  /** How many. */
  underWay = 0;
  /** Resolves, never rejects, once all receipts so far are on their way to the logs: the next may follow. */
  tail: Promise<void> = Promise.resolve();

  static of(session: Session): SignalLine {
    let line = lines.get(session);
    if (line === undefined) lines.set(session, (line = new SignalLine()));
    return line;
  }
}
