import { BLOCK_REFUSALS, ErrorCode, type FlowRequest } from "@bimip/protocol";
import { type CasBucket, contactKey, type ContactRecord, sessionKeysOf } from "@bimip/nats";

/**
 * 0 = allowed, else the ErrorCode that the sender gets, with its text. That begins with a field of the stanza; what kind
 * of stanza it is the gateway knows, and puts before it.
 */
export interface FlowAnswer {
  readonly code: number;
  readonly details: string;
}

const ALLOWED: FlowAnswer = { code: 0, details: "" };
const BLOCKED_BY_SENDER: FlowAnswer = {
  code: ErrorCode.NOT_ALLOWED,
  details: `to.eid: ${BLOCK_REFUSALS.byYou}`,
};
const BLOCKED_BY_RECIPIENT: FlowAnswer = {
  code: ErrorCode.NOT_ALLOWED,
  details: `to.eid: ${BLOCK_REFUSALS.byThem}`,
};

export interface FlowRules {
  /** A recipient never seen is written to like any other; configuration may ask for 404 instead. */
  readonly unknownRecipient: "accept" | "reject";
  /** Of awareness: who was ever seen, and who blocks whom; as its leader has it, so that a block counts at once. */
  readonly bucket: Pick<CasBucket, "read" | "holds">;
}

/** May A write to B? */
export async function decideFlow(rules: FlowRules, { fromEid, toEid }: FlowRequest): Promise<FlowAnswer> {
  if (fromEid === toEid) return ALLOWED;
  const blocked = await blockBetween(rules, fromEid, toEid);
  if (blocked !== undefined) return blocked;
  if (rules.unknownRecipient === "accept" || (await rules.bucket.holds(sessionKeysOf(toEid)))) return ALLOWED;
  return { code: ErrorCode.UNKNOWN, details: "to.eid: no device of this recipient was ever seen" };
}

/** A block refuses both directions; one's own is told first. */
async function blockBetween({ bucket }: FlowRules, from: string, to: string): Promise<FlowAnswer | undefined> {
  const value = await bucket.read(contactKey(from, to));
  if (value === undefined) return undefined;
  const { blocks, blockedBy } = JSON.parse(Buffer.from(value.bytes).toString()) as ContactRecord;
  if (blocks) return BLOCKED_BY_SENDER;
  return blockedBy ? BLOCKED_BY_RECIPIENT : undefined;
}
