import {
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
  create,
} from "@bufbuild/protobuf";
import type { Subscription } from "@nats-io/nats-core";
import type { NatsConnection } from "./connect.js";
import { answer } from "./inbox.js";
import { createTurns } from "./turns.js";

/** A question between services: its subject and the two messages of package bimip.server. */
export interface Procedure<Req extends DescMessage, Res extends DescMessage> {
  readonly subject: string;
  readonly request: Req;
  readonly response: Res;
}

/** Asks; rejects when nobody answers within `timeoutMs`, or at once when nobody listens. */
export async function call<Req extends DescMessage, Res extends DescMessage>(
  nc: NatsConnection,
  procedure: Procedure<Req, Res>,
  request: MessageInitShape<Req>,
  timeoutMs: number,
): Promise<MessageShape<Res>> {
  const bytes = toBinary(procedure.request, create(procedure.request, request));
  const answer = await nc.request(procedure.subject, bytes, { timeout: timeoutMs });
  return fromBinary(procedure.response, answer.data);
}

/** Questions of one procedure that are worked on at once; more wait in order. */
const PLACES = 64;
/** Below the shortest time-out that a caller has, 1 s. */
const MAX_WAIT_MS = 750;

export interface ServeOptions {
  /** Questions worked on at once, 64 unless told otherwise. */
  readonly places?: number;
  /**
   * A question that waited for its turn for longer is left unanswered, milliseconds; 750 unless told otherwise. Less than the
   * callers' time-out: an answer to who has given up already would be in vain, while the question asked anew waits behind
   * it, so that after a storm of reconnects nobody would ever be answered.
   */
  readonly maxWaitMs?: number;
  /** A question waited for too long. */
  readonly onDropped?: () => void;
}

/**
 * Answers, as one of a queue group. A handler that throws leaves the question unanswered (the caller asks again) and
 * is told to `onError`. A question whose turn comes so late that its caller has given up is left too, and told to `onDropped`.
 */
export function serve<Req extends DescMessage, Res extends DescMessage>(
  nc: NatsConnection,
  procedure: Procedure<Req, Res>,
  queue: string,
  handle: (request: MessageShape<Req>) => Promise<MessageInitShape<Res>>,
  onError: (error: unknown) => void,
  { places = PLACES, maxWaitMs = MAX_WAIT_MS, onDropped }: ServeOptions = {},
): Subscription {
  const inTurn = createTurns(places);
  return nc.subscribe(procedure.subject, {
    queue,
    callback: (error, message) => {
      if (error) return onError(error);
      const cameAtMs = performance.now();
      void inTurn(async () => {
        if (performance.now() - cameAtMs > maxWaitMs) return onDropped?.();
        try {
          const response = await handle(fromBinary(procedure.request, message.data));
          answer(message, toBinary(procedure.response, create(procedure.response, response)));
        } catch (cause) {
          onError(cause);
        }
      });
    },
  });
}
