import {
  IdentitySchema,
  MediaSchema,
  type Message,
  MessageSchema,
  MetadataSchema,
  PayloadSchema,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import type { Address, MediaItem } from "./incoming-message.js";
import { randomId } from "./random-id.js";

/** What `send` takes. */
export interface OutgoingMessage {
  /** An EID, or an EID and one of its devices. */
  readonly to: string | Address;
  /** Travels as `payload.data.text`. */
  readonly text?: string;
  /** Default "text", or "media" when there are media and no text. */
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly media?: readonly MediaItem[];
  /** Base64 each. */
  readonly metadata?: { readonly encrypted?: string; readonly signature?: string };
  /** Unique per recipient; sending the same one again stores nothing twice. Default: a new UUID. */
  readonly id?: string;
  /** Unix epoch milliseconds; default now. */
  readonly timestamp?: number;
}

/** The stanza of an outgoing message, without what the server owns. */
export function toMessage(outgoing: OutgoingMessage): Message {
  const { text, media = [], metadata } = outgoing;
  const to = typeof outgoing.to === "string" ? { eid: outgoing.to } : outgoing.to;
  return create(MessageSchema, {
    id: outgoing.id ?? randomId(),
    to: create(IdentitySchema, {
      eid: to.eid,
      ...(to.device !== undefined && { connectionResourceId: to.device }),
    }),
    type: outgoing.type ?? (text === undefined && media.length > 0 ? "media" : "text"),
    timestamp: BigInt(outgoing.timestamp ?? Date.now()),
    payload: create(PayloadSchema, {
      data: { ...outgoing.data, ...(text !== undefined && { text }) },
      media: media.map(({ type, url, thumbnail = "", size = 0 }) =>
        create(MediaSchema, { type, url, thumbnail, size: BigInt(size) }),
      ),
    }),
    ...(metadata !== undefined && { metadata: create(MetadataSchema, metadata) }),
  });
}
