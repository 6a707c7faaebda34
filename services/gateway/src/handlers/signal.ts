import {
  BimipError,
  ErrorCode,
  encodeStanza,
  type Signal,
  SignalSchema,
  SignalStatus,
  SignalType,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";

const EVERYTHING = -1n;

/**
 * RESUME: hand over what lies behind an index, then go on live. N > 0: behind N; -1: everything retained, the
 * device's own included. Receipts, typing and the stored cursor (0) are not built yet: 501.
 */
export async function handleSignal(gateway: Gateway, session: Session, signal: Signal): Promise<void> {
  const { id, monotonicId } = signal;
  if (signal.status !== SignalStatus.RESUME || signal.type !== SignalType.REQUEST) {
    return session.fail(new BimipError(ErrorCode.NOT_BUILT, "signal: only RESUME is built yet", { id }));
  }
  if (monotonicId === 0n) {
    return session.fail(
      new BimipError(ErrorCode.NOT_BUILT, "signal.monotonic_id: 0 (the stored cursor) is not built yet", { id }),
    );
  }
  await session.begun;
  if (monotonicId === EVERYTHING) return session.delivery.start(0, "resume", { withOwn: true, id });
  const head = await gateway.reader.head(session.eid);
  if (monotonicId > BigInt(head)) {
    const details = `monotonic_id ${monotonicId} lies beyond the head of the log, ${head}`;
    const answer = create(SignalSchema, { ...signal, type: SignalType.ERROR, details, timestamp: BigInt(Date.now()) });
    return session.send(encodeStanza("signal", answer));
  }
  session.delivery.start(Number(monotonicId), "resume", { id });
}
