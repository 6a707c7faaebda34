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

/**
 * Answers, as one of a queue group. A handler that throws leaves the question unanswered (the caller asks again) and
 * is told to `onError`.
 */
export function serve<Req extends DescMessage, Res extends DescMessage>(
  nc: NatsConnection,
  procedure: Procedure<Req, Res>,
  queue: string,
  handle: (request: MessageShape<Req>) => Promise<MessageInitShape<Res>>,
  onError: (error: unknown) => void,
): Subscription {
  return nc.subscribe(procedure.subject, {
    queue,
    callback: (error, message) => {
      if (error) return onError(error);
      void (async () => {
        try {
          const response = await handle(fromBinary(procedure.request, message.data));
          message.respond(toBinary(procedure.response, create(procedure.response, response)));
        } catch (cause) {
          onError(cause);
        }
      })();
    },
  });
}
