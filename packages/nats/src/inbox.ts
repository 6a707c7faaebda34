import { createInbox, type Msg } from "@nats-io/nats-core";
import type { NatsConnection } from "@nats-io/transport-node";

const COMMON = "_INBOX";
const prefixes = new WeakMap<NatsConnection, string>();

/** Remembers under which subjects a connection may get answers. */
export function setInboxPrefix(nc: NatsConnection, prefix: string): void {
  prefixes.set(nc, prefix);
}

/** A subject for answers, that nobody else knows or may listen to. */
export function newInbox(nc: NatsConnection): string {
  return createInbox(prefixes.get(nc) ?? COMMON);
}

/**
 * Answers a question, if it wants its answer in an inbox. nats-server lets whoever asks name any subject for the answer, also
 * one that they may not publish to: a question with `$JS.API.STREAM.DELETE.…` there would make us delete a stream.
 */
export function answer(question: Pick<Msg, "reply" | "respond">, bytes: Uint8Array | string): void {
  if (question.reply?.startsWith(`${COMMON}.`)) question.respond(bytes);
}
