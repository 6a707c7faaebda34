import { setTimeout as delay } from "node:timers/promises";
import { call, type Procedure, jitteredStepMs } from "@bimip/nats";
import { BimipError, ErrorCode, type Frame } from "@bimip/protocol";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";

/** A device's question that nobody answers is given up after so long. */
const DEADLINE_MS = 10_000;
const TIMEOUT_MS = 2_000;
const RETRY_MS = [50, 100, 250, 500, 1_000] as const;

/** The stanza that a question is asked for. */
export interface AskedStanza {
  readonly id: string;
  /** From `deadlineMs`. */
  readonly deadlineMs: number;
  /** Nobody needs it to be done any more; absent: somebody does. */
  readonly isOver?: () => boolean;
}

/** When a question that is asked now is given up (performance.now). */
export function deadlineMs(): number {
  return performance.now() + DEADLINE_MS;
}

/**
 * Asks awareness on behalf of a device, again and again until it answers; first the session must be registered. Rejects with
 * BimipError 503 naming the stanza after its deadline, or when it is over.
 */
export async function ask<Req extends DescMessage, Res extends DescMessage>(
  { link }: Gateway,
  session: Session,
  procedure: Procedure<Req, Res>,
  request: MessageInitShape<Req>,
  stanza: AskedStanza,
): Promise<MessageShape<Res>> {
  const { id } = stanza;
  const givenUp = (cause?: unknown): BimipError =>
    new BimipError(ErrorCode.TRY_AGAIN, "awareness does not answer, try again", { id, cause });
  if (!(await session.awareness.registered(stanza.deadlineMs))) throw givenUp();
  for (let failures = 0; ; failures++) {
    if (stanza.isOver?.() === true) throw givenUp();
    try {
      if (!link.up) throw new Error("NATS is away");
      const leftMs = stanza.deadlineMs - performance.now();
      if (leftMs < 1) throw givenUp();
      return await call(link.nc, procedure, request, Math.min(TIMEOUT_MS, leftMs));
    } catch (error) {
      const waitMs = jitteredStepMs(RETRY_MS, failures);
      if (performance.now() + waitMs >= stanza.deadlineMs) throw givenUp(error);
      await delay(waitMs);
    }
  }
}

/** The stanza as the device sent it, without its envelope. */
export function payloadOf({ bytes, payloadStart, payloadEnd }: Frame): Uint8Array {
  return bytes.subarray(payloadStart, payloadEnd);
}
