import {
  BimipError,
  decodeFrame,
  ErrorCode,
  encodeStanza,
  type Frame,
  type Signal,
  SignalSchema,
  SignalStatus,
  SignalType,
  stampSignal,
} from "@bimip/protocol";
import { entryId, type StoredEntry } from "@bimip/nats";
import { create } from "@bufbuild/protobuf";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { flowRefusal, forStanza, tooMany, tryAgainUnlessKnown } from "./refusals.js";

/** A message and a push notification may have one id; each has receipts of its own. */
const KINDS = { message: "receipt", pushNotification: "push-receipt" } as const;
const NOT_STORED = "receipt not stored, try again";

/** A receipt that may go to the author's log. */
interface Checked {
  readonly kind: (typeof KINDS)[keyof typeof KINDS];
  readonly logSubject: string;
}

/** The receipt is well formed but cannot be given: the same Signal comes back with type 3 and this text. */
class NoSuchMessage extends Error {}

/**
 * DELIVERED, READ, PLAYED, FORWARDED. Where `id` and `to` name a message of one's log and its author, appends the Signal to
 * the author's log: once per message and status, whichever device is first. Then moves the device's cursor.
 */
export function handleReceipt(gateway: Gateway, session: Session, receipt: Signal, frame: Frame): void {
  const { id, status, monotonicId } = receipt;
  const { receipts } = session;
  const { maxUnconfirmed } = gateway.limits;
  if (receipts.waiting >= maxUnconfirmed) return session.fail(tooMany(maxUnconfirmed, "receipts are under way", id));
  const mark = { index: Number(monotonicId), read: status === SignalStatus.READ };
  const conclude = receipts.begin(mark, [status, monotonicId, id, authorOf(receipt)].join(" "));
  const namesMessage = id !== "" && authorOf(receipt) !== "";
  if (namesMessage) receipts.tail = tell(gateway, session, receipt, frame, conclude);
  else if (session.logEpoch > 0) conclude(true);
  else void session.log.known.then(() => conclude(true));
}

/** Checks at once, but appends in the order of the receipts. */
async function tell(
  gateway: Gateway,
  session: Session,
  receipt: Signal,
  frame: Frame,
  conclude: (isDone: boolean) => void,
): Promise<void> {
  const before = session.receipts.tail;
  try {
    await session.log.known; // which receipts were given is known by log
    const [checked] = await Promise.all([check(gateway, session, receipt), before]);
    if (checked !== undefined) return append(gateway, session, receipt, frame, checked, conclude);
    conclude(true);
  } catch (thrown) {
    await before;
    if (thrown instanceof NoSuchMessage) session.send(comeBack(receipt, thrown.message));
    else session.fail(tryAgainUnlessKnown(thrown, receipt.id, NOT_STORED));
    // What was refused for good is done with; what is to be tried again must not be passed.
    conclude(thrown instanceof NoSuchMessage || (thrown instanceof BimipError && thrown.code < ErrorCode.INTERNAL));
  }
}

/** Undefined: it was given before. */
async function check(gateway: Gateway, session: Session, receipt: Signal): Promise<Checked | undefined> {
  const { status, monotonicId } = receipt;
  const author = authorOf(receipt);
  if (monotonicId === 0n) throw new NoSuchMessage("monotonic_id: is missing; a receipt names its message by index too");
  const index = Number(monotonicId);
  const entry = Number.isSafeInteger(index) ? await gateway.reader.entry(session.eid, index) : undefined;
  const kind = kindOf(entry, session.eid, receipt);
  if (entry === undefined || kind === undefined) {
    throw new NoSuchMessage(`id: your log holds no message of this id from ${author} at ${monotonicId}`);
  }
  const flow = gateway.policy.known(session.eid, author) ?? (await gateway.policy.decide(session.eid, author));
  if (flow.refusal !== undefined) throw flowRefusal(flow.refusal, "signal", receipt.id);
  const given = await gateway.receiptsGiven.has(session, status, index, entry.storedAtMs);
  return given ? undefined : { kind: KINDS[kind], logSubject: flow.logSubject };
}

/** What the receipt names, if the entry is that: a message of this id from that author to the receipt's giver. */
function kindOf(entry: StoredEntry | undefined, giver: string, receipt: Signal): keyof typeof KINDS | undefined {
  if (entry === undefined) return undefined;
  const { stanza } = decodeFrame(entry.bytes, { maxStanzaBytes: entry.bytes.length });
  if (stanza.kind !== "message" && stanza.kind !== "pushNotification") return undefined;
  const { id, from, to } = stanza.value;
  // One's own copy of what one wrote to others is not addressed to oneself: it takes no receipt.
  return id === receipt.id && from?.eid === authorOf(receipt) && to?.eid === giver ? stanza.kind : undefined;
}

function append(
  gateway: Gateway,
  session: Session,
  receipt: Signal,
  frame: Frame,
  { kind, logSubject }: Checked,
  conclude: (isDone: boolean) => void,
): void {
  const { id, status, monotonicId } = receipt;
  const author = authorOf(receipt);
  gateway.publisher.append(
    {
      subject: logSubject,
      payload: stampSignal(frame, session.identity),
      entryId: entryId(author, kind, session.eid, id, status),
      lane: `${session.id}>${author}`,
    },
    (result) => {
      conclude(result.ok || !result.retryable);
      if (result.ok) {
        if (!result.duplicate) gateway.metrics.receipts.inc({ status });
        return gateway.progress.receiptGiven(session, status, Number(monotonicId));
      }
      gateway.logger.warn({ reason: result.reason, stanza: id }, "receipt not confirmed");
      const code = result.retryable ? ErrorCode.TRY_AGAIN : ErrorCode.INTERNAL;
      session.fail(forStanza(new BimipError(code, result.retryable ? NOT_STORED : "cannot be stored"), id));
    },
  );
}

/** The Signal as it was sent, type 3. */
function comeBack(receipt: Signal, details: string): Uint8Array {
  const timestamp = BigInt(Date.now());
  return encodeStanza("signal", create(SignalSchema, { ...receipt, type: SignalType.ERROR, details, timestamp }));
}

function authorOf(receipt: Signal): string {
  return receipt.to?.eid ?? "";
}
