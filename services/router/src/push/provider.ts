import type { StanzaKind } from "@bimip/protocol";

/** The kinds of stored stanzas that are pushed. */
export const PUSHED_KINDS = { message: "message", pushNotification: "push_notification" } as const satisfies Partial<
  Record<StanzaKind, string>
>;

/** One message or notification to be pushed, as it stands in the log of `eid`. */
export interface Push {
  /** The same at every try. */
  readonly id: string;
  readonly eid: string;
  readonly kind: (typeof PUSHED_KINDS)[keyof typeof PUSHED_KINDS];
  /** EID of the sender. */
  readonly from: string;
  /** `type` of the stanza. */
  readonly type: string;
  /** `payload.data.text` of the stanza, if it has one. */
  readonly text: string | undefined;
  /** The stanza as `stanzaToJson` shows it. */
  readonly stanza: object;
  /** monotonic_id, and creation time of the log that it is an index of. */
  readonly index: number;
  readonly epoch: number;
  /** Unread messages, at most 999; undefined = not counted in time. */
  readonly badge: number | undefined;
  /** Epoch milliseconds. */
  readonly storedAtMs: number;
  /** A device is online, but none acknowledged. */
  readonly online: boolean;
}

/** What became of one try. */
export type Outcome =
  /** The provider has it. */
  | { readonly kind: "ok" }
  /** The subscription is no more. */
  | { readonly kind: "gone" }
  /** Repeating is useless. */
  | { readonly kind: "refused"; readonly reason: string }
  /** May succeed later; not before `retryAfterMs` have passed, where the provider said so. */
  | { readonly kind: "failed"; readonly reason: string; readonly retryAfterMs: number | undefined };

/** Somewhere a user's pushes go. */
export interface Target {
  /** Unique among the user's targets. */
  readonly name: string;
  readonly provider: "webhook" | "web_push";
  /** Never rejects. */
  post(push: Push): Promise<Outcome>;
}
