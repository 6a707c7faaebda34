/** Sizes the protocol fixes. Bytes are bytes of UTF-8; `maxSafeIndex` is the highest log index that fits a JS number. */
export const LIMITS = {
  /** An account name. */
  eidBytes: 255,
  /** A device name (`connection_resource_id`). */
  deviceBytes: 128,
  /** The id of a stanza. */
  idBytes: 128,
  /** An access or refresh token, or the `jti` of one. */
  tokenBytes: 16_384,
  /** The `type` of a Message, PushNotification or Event. */
  typeBytes: 128,
  /** One stanza as a client may send it; larger is answered with 413. */
  stanzaBytes: 65_536,
  /** One frame on the transport; larger is cut by the transport. */
  frameBytes: 1_048_576,
  /** Nested messages (and unknown groups) in one frame, the envelope counted as the first. */
  recursionDepth: 16,
  /** `details` of Awareness and AwarenessContact: kept, and told to devices that connect. */
  detailsBytes: 1_024,
  /** UTF-16 units of `details` that an ErrorMessage carries at most. */
  errorDetailsUnits: 1024,
  /** Items that one Page of a log's history holds at most; the receipts that belong to them come on top. */
  pageItems: 200,
  maxSafeIndex: Number.MAX_SAFE_INTEGER,
} as const;
