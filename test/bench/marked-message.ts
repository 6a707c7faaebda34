import { encodeStanza, MessageSchema, STANZA_ROUTE } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";

const DIGITS = 9;
/** Tag and length of an id of ten bytes, and the first of them. */
const MARK = "\n\n#";

/** Messages that differ in their id only, a number: encoded once, written over for each. */
export class MarkedMessage {
  readonly #template: Buffer;
  readonly #idAt: number;

  /** @param options.payloadBytes of text */
  constructor(options: { to: string; payloadBytes: number }) {
    const message = create(MessageSchema, {
      id: `#${"0".repeat(DIGITS)}`,
      to: { eid: options.to },
      type: "text",
      payload: { data: { text: "x".repeat(options.payloadBytes) } },
    });
    this.#template = Buffer.from(encodeStanza("message", message));
    this.#idAt = this.#template.indexOf(MARK) + MARK.length;
  }

  /** The frame of message `number`. Valid until the next call. */
  frame(number: number): Buffer {
    this.#template.write(String(number).padStart(DIGITS, "0"), this.#idAt, "latin1");
    return this.#template;
  }
}

/** The number in the id of a message, or of a SENT; -1 where there is none. Nothing is decoded. */
export function markOf(frame: Buffer): number {
  const at = frame.indexOf(MARK);
  return at < 0 ? -1 : Number(frame.toString("latin1", at + MARK.length, at + MARK.length + DIGITS));
}

/** What a frame from the server carries: it writes the route first. */
export const isMessage = (frame: Uint8Array): boolean => frame[1] === STANZA_ROUTE.message;
export const isSignal = (frame: Uint8Array): boolean => frame[1] === STANZA_ROUTE.signal;
export const isError = (frame: Uint8Array): boolean => frame[1] === STANZA_ROUTE.error;
