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
export function presenceBytes(eid: string, visible: Visible, told: Told = {}): Uint8Array {
  return saidBytes(eid, visible, AwarenessType.PRESENCE, visible, told);
}

/** What a user said of type 2, as an encoded Awareness. */
export function customBytes(eid: string, visible: Visible, custom: CustomStatus, told: Told = {}): Uint8Array {
  return saidBytes(eid, visible, AwarenessType.STATUS, custom, told);
}

/** A user's whole state: presence, and what they said of type 2. */
export function stateBytes(eid: string, visible: Visible): Uint8Array[] {
  const { custom } = visible;
  const presence = presenceBytes(eid, visible);
  if (custom === undefined || visible.status === AwarenessStatus.OFFLINE) return [presence];
  return [presence, customBytes(eid, visible, custom)];
}

function saidBytes(
  eid: string,
  visible: Visible,
  type: AwarenessType,
  { status, details, atMs, untilMs }: Pick<CustomStatus, "status" | "details" | "atMs" | "untilMs">,
  { id = "", position }: Told,
): Uint8Array {
  const ttl = ttlS(untilMs);
  const timestamp = BigInt(atMs);
  return encode({ id, from: fromOf(eid, visible), type, status, details, ttl, timestamp, ...located(position) });
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

/** The fields of a position; undefined: that it is not shared. */
export function located(position: Position | undefined) {
  const { latitude = 0, longitude = 0 } = position ?? {};
  return { locationSharing: position === undefined ? LocationSharing.OFF : LocationSharing.ON, latitude, longitude };
}
