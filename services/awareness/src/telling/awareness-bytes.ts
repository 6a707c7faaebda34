import { create, toBinary } from "@bufbuild/protobuf";
import { AwarenessSchema, AwarenessStatus, AwarenessType, LocationSharing } from "@bimip/protocol";
import type { Position } from "../location/precision.js";
import type { CustomStatus } from "../directory/user-record.js";
import type { Visible } from "../directory/visible.js";

/** What a stanza that made the change adds to it. */
export interface Told {
  readonly id?: string;
  readonly position?: Position | undefined;
}

/** A user's presence as an encoded Awareness of type 1. */
export function presenceBytes(eid: string, visible: Visible, { id = "", position }: Told = {}): Uint8Array {
  const { status, details, atMs, untilMs } = visible;
  return encode({
    id,
    from: fromOf(eid, visible),
    type: AwarenessType.PRESENCE,
    status,
    details,
    ttl: ttlS(untilMs),
    timestamp: BigInt(atMs),
    ...located(position),
  });
}

/** What a user said of type 2, as an encoded Awareness. */
export function customBytes(
  eid: string,
  visible: Visible,
  { status, details, untilMs, atMs }: CustomStatus,
  { id = "", position }: Told = {},
): Uint8Array {
  return encode({
    id,
    from: fromOf(eid, visible),
    type: AwarenessType.STATUS,
    status,
    details,
    ttl: ttlS(untilMs),
    timestamp: BigInt(atMs),
    ...located(position),
  });
}

/**
 * For those who may not see the user any more: OFFLINE, since now.
 *
 * @param known what they were shown last, where that is sure: whoever was shown OFFLINE knows since when
 */
export function hiddenBytes(eid: string, known?: Visible): Uint8Array {
  const { OFFLINE } = AwarenessStatus;
  const timestamp = BigInt(known?.status === OFFLINE ? known.atMs : Date.now());
  return encode({ from: { eid, node: "" }, type: AwarenessType.PRESENCE, status: OFFLINE, timestamp });
}

function encode(init: Parameters<typeof create<typeof AwarenessSchema>>[1]): Uint8Array {
  return toBinary(AwarenessSchema, create(AwarenessSchema, init));
}

function fromOf(eid: string, { device, node }: Visible) {
  return device === "" ? { eid } : { eid, connectionResourceId: device, node };
}

/** Seconds left, at least one while it holds; 0 = it does not end. */
function ttlS(untilMs: number): number {
  return untilMs === 0 ? 0 : Math.min(Math.max(Math.ceil((untilMs - Date.now()) / 1_000), 1), MAX_TTL_S);
}

/** What the field holds. */
const MAX_TTL_S = 2_147_483_647;

function located(position: Position | undefined) {
  return position === undefined ? {} : { locationSharing: LocationSharing.ON, ...position };
}
