import type { Identity, Message, PushNotification } from "@bimip/protocol";

/** An account and, where it matters, one of its devices. */
export interface Address {
  readonly eid: string;
  readonly device?: string;
}

/** One attachment. */
export interface MediaItem {
  /** image, video, audio or file. */
  readonly type: string;
  readonly url: string;
  readonly thumbnail?: string;
  /** Bytes. */
  readonly size?: number;
}

/**
 * What the application says of a message of another: each is told to its sender once, and with `acknowledge: "manual"`
 * also acknowledges the message. Waits until it and everything before it is acknowledged, and for a connection. Without
 * effect on one's own.
 */
export interface ReceiptMethods {
  /** With `acknowledge: "manual"`: the application has it safe. Call it for each message; otherwise it comes by itself. */
  delivered(): void;
  read(): void;
  /** A voice or video message was played. */
  played(): void;
  /** It was passed on to somebody. */
  forwarded(): void;
}

/** A Message or PushNotification as the application sees it. `Raw` is the protobuf type. */
export interface Incoming<Raw> extends ReceiptMethods {
  readonly id: string;
  /** Stamped by the server: it can be trusted. One's own address for a message another device of ours sent. */
  readonly from: Address;
  readonly to: Address;
  /** true for what another device of ours sent (in the history, also this one). */
  readonly own: boolean;
  /** `payload.data.text`; undefined when there is none. */
  readonly text: string | undefined;
  /** text, media, …; of a push, its category. */
  readonly type: string;
  readonly data: Readonly<Record<string, string>>;
  readonly media: readonly MediaItem[];
  /** Unix epoch milliseconds. */
  readonly timestamp: number;
  /** Index in the own log, strictly increasing. */
  readonly index: number;
  /** Index of the entry handed to this device before this one. */
  readonly previousIndex: number;
  /** true for what was stored before this connection was up to date. */
  readonly replayed: boolean;
  /** The stanza itself: acks, metadata, unknown fields. */
  readonly stanza: Raw;
}

export type IncomingMessage = Incoming<Message>;
export type IncomingPush = Incoming<PushNotification>;

/** What the stanza itself does not say. */
export interface IncomingContext {
  readonly own: boolean;
  readonly replayed: boolean;
  readonly receipts: ReceiptMethods;
}

/** The friendly form of a stanza. */
export function toIncoming<Raw extends Message | PushNotification>(
  stanza: Raw,
  context: IncomingContext,
): Incoming<Raw> {
  const data = stanza.payload?.data ?? {};
  return {
    id: stanza.id,
    from: toAddress(stanza.from),
    to: toAddress(stanza.to),
    own: context.own,
    text: Object.hasOwn(data, "text") ? data.text : undefined,
    type: stanza.type,
    data,
    media: (stanza.payload?.media ?? []).map(({ type, url, thumbnail, size }) => ({
      type,
      url,
      ...(thumbnail !== "" && { thumbnail }),
      ...(size > 0n && { size: Number(size) }),
    })),
    timestamp: Number(stanza.timestamp),
    index: Number(stanza.monotonicId),
    previousIndex: Number(stanza.previousId),
    replayed: context.replayed,
    stanza,
    ...context.receipts,
  };
}

function toAddress(identity: Identity | undefined): Address {
  const device = identity?.connectionResourceId;
  return { eid: identity?.eid ?? "", ...(device !== undefined && device !== "" && { device }) };
}
