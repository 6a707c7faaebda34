import { type BimipError, ErrorCode } from "@bimip/protocol";
import type { Outbox } from "./outbox.js";
import type { Receipts } from "./receipts.js";
import { retryAfterMs } from "./retry-after.js";

/**
 * Gives an error to what it is about. An error names an id only, which is unique per sender and recipient: it may be that
 * of a message under way and of a receipt about another's message.
 *
 * @returns true: a message, a receipt or a cursor of ours goes again, or a message was rejected with it
 */
export function takeError(error: BimipError, outbox: Outbox, receipts: Receipts): boolean {
  const { code, id = "" } = error;
  if (code === ErrorCode.TRY_AGAIN || code === ErrorCode.TOO_FAST) {
    const tooFast = code === ErrorCode.TOO_FAST;
    if (tooFast && id === "" && error.details.startsWith("signal: ")) {
      receipts.repeatCursor(retryAfterMs(error));
      return true;
    }
    const [message, receipt] = [outbox.postpone(id, retryAfterMs(error), tooFast), receipts.postpone(error)];
    return message || receipt;
  }
  // Both go again, the message first: it is stored once, and a receipt is told once.
  if (outbox.isUnderWay(id) && receipts.withhold(id)) return outbox.postpone(id);
  const isRefused = outbox.refuse(error);
  if (isRefused) receipts.release(id);
  return isRefused;
}
