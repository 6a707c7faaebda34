import { type Frame, type Signal, SignalStatus } from "@bimip/protocol";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { handleReceipt } from "./receipt.js";
import { handleTyping } from "./typing.js";

/** RESUME, receipts, typing and recording. Other statuses and types were refused before. */
export function handleSignal(gateway: Gateway, session: Session, signal: Signal, frame: Frame): void | Promise<void> {
  switch (signal.status) {
    case SignalStatus.RESUME:
      return session.log.resume({ after: signal.monotonicId, id: signal.id, epoch: signal.epoch });
    case SignalStatus.TYPING:
    case SignalStatus.RECORDING:
      return handleTyping(gateway, session, signal, frame);
    default:
      return handleReceipt(gateway, session, signal, frame);
  }
}
