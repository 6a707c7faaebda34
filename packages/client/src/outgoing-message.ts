import {
  BimipError,
  encodeStanza,
  ErrorCode,
  IdentitySchema,
  LIMITS,
  MediaSchema,
  MessageSchema,
  MetadataSchema,
  PayloadSchema,
  PushNotificationSchema,
  type Stanza,
  validateStanza,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import type { Address, MediaItem } from "./incoming-message.js";
import type { OutboxItem } from "./outbox-entry.js";
import { randomId } from "./random-id.js";

/** What `send` and `push` take. */
export interface OutgoingMessage {
  /** An EID, or an EID and one of its devices. */
  readonly to: string | Address;
  /** Travels as `payload.data.text`. */
  readonly text?: string;
  /** Default "text", or "media" when there are media and no text. Of a push: its category, default none. */
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly media?: readonly MediaItem[];
  /** Base64 each. */
  readonly metadata?: { readonly encrypted?: string; readonly signature?: string };
  /**
   * Unique per recipient. Default: a new UUID. Whoever repeats a message whose outcome is not known repeats its id and
   * its `timestamp`: then it is stored once, as long as the logs hold the first, and answered with the first index. With
   * another timestamp that holds only within the server's dedupe window (2 minutes unless configured).
   */
  readonly id?: string;
  /** Unix epoch milliseconds; default: now, at the call. Repeats by the client itself keep it. */
  readonly timestamp?: number;
}

/** The frame of an outgoing stanza, without what the server owns, as the outbox takes it. Throws a BimipError 422 or 413. */
export function toOutboxItem(kind: OutboxItem["kind"], outgoing: OutgoingMessage): OutboxItem {
  const fields = fieldsOf(kind, outgoing);
  const stanza: Stanza =
    kind === "message"
      ? { kind, value: create(MessageSchema, fields) }
      : { kind, value: create(PushNotificationSchema, fields) };
  const problem = validateStanza(stanza);
  if (problem !== undefined) throw problem;
  const frame = stanza.kind === "message" ? encodeStanza("message", stanza.value) : encodeStanza(kind, stanza.value);
  // Larger ones would not be refused but cut by the transport, connection after connection.
  if (frame.length > LIMITS.frameBytes) {
    throw new BimipError(ErrorCode.TOO_LARGE, `the message has ${frame.length} bytes`, { id: fields.id });
  }
  return { kind, id: fields.id, eid: fields.to.eid, frame };
}

function fieldsOf(kind: OutboxItem["kind"], outgoing: OutgoingMessage) {
  const { text, media = [], metadata } = outgoing;
  const to = typeof outgoing.to === "string" ? { eid: outgoing.to } : outgoing.to;
  const defaultType = kind === "message" ? (text === undefined && media.length > 0 ? "media" : "text") : "";
  return {
    id: outgoing.id ?? randomId(),
    to: create(IdentitySchema, {
      eid: to.eid,
      ...(to.device !== undefined && { connectionResourceId: to.device }),
    }),
    type: outgoing.type ?? defaultType,
    timestamp: BigInt(outgoing.timestamp ?? Date.now()),
    payload: create(PayloadSchema, {
      data: { ...outgoing.data, ...(text !== undefined && { text }) },
      media: media.map(({ type, url, thumbnail = "", size = 0 }) =>
        create(MediaSchema, { type, url, thumbnail, size: BigInt(size) }),
      ),
    }),
    ...(metadata !== undefined && { metadata: create(MetadataSchema, metadata) }),
  };
}
