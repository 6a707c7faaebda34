import {
  type Awareness,
  AwarenessSchema,
  AwarenessStatus,
  AwarenessType,
  BODY_ROUTE,
  encodeBody,
  encodePayload,
} from "@bimip/protocol";
import { fromBinary } from "@bufbuild/protobuf";

const { ONLINE, OFFLINE } = AwarenessStatus;

/** What is told of one user, encoded once for all who hear it. */
export class Change {
  /** Whom it is about. */
  readonly about: string;
  /** Place in the one order of what awareness keeps; 0 = it has none. */
  readonly revision: number;
  /** A complete frame with this change alone. */
  readonly frame: Uint8Array;
  /** The Awareness. */
  readonly payload: Uint8Array;
  #awareness: Awareness | undefined;

  /** @param options.asBody alone it is told as a Body all the same */
  constructor(options: { about: string; revision: number; payload: Uint8Array; asBody: boolean }) {
    const { about, revision, payload, asBody } = options;
    this.about = about;
    this.revision = revision;
    this.frame = asBody
      ? encodeBody({ route: BODY_ROUTE.changes, awareness: [payload], timestampMs: Date.now() })
      : encodePayload("awareness", payload);
    // Never a view of what came from NATS: it would keep the whole chunk that was read from the socket.
    this.payload = asBody ? payload.slice() : this.frame.subarray(this.frame.length - payload.length);
  }

  /** AwarenessType. */
  get type(): number {
    return this.#decoded.type;
  }

  /**
   * Nothing that was said of this user before holds any more, of whatever type. A status of type 2 that outlasts an ONLINE is
   * told again behind it, at the same revision.
   */
  get endsAll(): boolean {
    const { type, status } = this.#decoded;
    return type === AwarenessType.PRESENCE && (status === OFFLINE || status === ONLINE);
  }

  get #decoded(): Awareness {
    this.#awareness ??= fromBinary(AwarenessSchema, this.payload);
    return this.#awareness;
  }
}
