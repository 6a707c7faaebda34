import type { KV } from "@nats-io/kv";
import { ErrorCode, type FlowRequest } from "@bimip/protocol";
import { sessionKeysOf } from "@bimip/nats";

/**
 * 0 = allowed, else the ErrorCode that the sender gets, with its text. That begins with a field of the stanza; what kind
 * of stanza it is the gateway knows, and puts before it.
 */
export interface FlowAnswer {
  readonly code: number;
  readonly details: string;
}

const ALLOWED: FlowAnswer = { code: 0, details: "" };

export interface FlowRules {
  /** A recipient never seen is written to like any other; configuration may ask for 404 instead. */
  readonly unknownRecipient: "accept" | "reject";
  readonly sessions: KV;
}

/** May A write to B? */
export async function decideFlow(rules: FlowRules, request: FlowRequest): Promise<FlowAnswer> {
  if (rules.unknownRecipient === "accept" || request.fromEid === request.toEid) return ALLOWED;
  if (await everSeen(rules.sessions, request.toEid)) return ALLOWED;
  return { code: ErrorCode.UNKNOWN, details: "to.eid: no device of this recipient was ever seen" };
}

async function everSeen(sessions: KV, eid: string): Promise<boolean> {
  const keys = await sessions.keys(sessionKeysOf(eid));
  for await (const _key of keys) {
    keys.stop();
    return true;
  }
  return false;
}
