import type { MsgHdrs } from "@nats-io/nats-core";
import { HEADERS } from "./names.js";

/** The client encodes headers through this one method; ours skips its header map (entry ids need no checks: base64url). */
export function messageIdHeader(entryId: string): MsgHdrs {
  return new MessageIdHeader(entryId) as unknown as MsgHdrs;
}

class MessageIdHeader {
  readonly #id: string;
  constructor(id: string) {
    this.#id = id;
  }
  encode(): Uint8Array {
    const text = `NATS/1.0\r\n${HEADERS.messageId}: ${this.#id}\r\n\r\n`;
    return Buffer.from(text, "latin1");
  }
}
