import {
  type Awareness,
  AwarenessContactSchema,
  AwarenessSchema,
  AwarenessType,
  AwarenessVisibilitySchema,
  BimipError,
  type ContactAction,
  type ContactRelationship,
  ErrorCode,
  LocationSharing,
  LocationStreamSchema,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { checkedFrame } from "../checked-frame.js";
import { type Place, type Visibility, VISIBILITY_CODES } from "./presence.js";

/** What an Awareness of one's own says. */
export interface OwnAwareness {
  /** Undefined: what is no word; validation says so. */
  readonly status: number | undefined;
  readonly type: AwarenessType;
  readonly details?: string | undefined;
  /** Seconds; 0 = for ever. */
  readonly ttlS?: number | undefined;
  readonly location?: Place | undefined;
  readonly visibility?: Visibility | undefined;
  readonly to?: string | undefined;
}

// Each of these throws a BimipError 422 that names the field at fault.

export function awarenessFrame(id: string, own: OwnAwareness): { awareness: Awareness; frame: Uint8Array } {
  const { type, status = 0, details = "", ttlS = 0, location, visibility, to } = own;
  const awareness = create(AwarenessSchema, {
    id,
    type,
    status,
    details,
    ttl: ttlS,
    timestamp: BigInt(Date.now()),
    ...recipient("awareness", to),
    ...(visibility !== undefined && { visibility: visibilityCode(visibility) }),
    ...(location !== undefined && {
      locationSharing: LocationSharing.ON,
      latitude: location.latitude,
      longitude: location.longitude,
    }),
  });
  return { awareness, frame: checkedFrame("awareness", awareness) };
}

export function locationFrame({ latitude, longitude, altitude }: Place, to: string | undefined): Uint8Array {
  const location = create(LocationStreamSchema, {
    latitude,
    longitude,
    timestamp: BigInt(Date.now()),
    ...(altitude !== undefined && { altitude }),
    ...recipient("location_stream", to),
  });
  return checkedFrame("locationStream", location);
}

export function visibilityFrame(id: string, visibility: Visibility): Uint8Array {
  const timestamp = BigInt(Date.now());
  return checkedFrame(
    "awarenessVisibility",
    create(AwarenessVisibilitySchema, { id, type: visibilityCode(visibility), timestamp }),
  );
}

/** A contact stanza of one's own. */
export interface OwnContact {
  readonly action: ContactAction;
  /** Absent in a LIST. */
  readonly to?: string;
  readonly relationship?: ContactRelationship;
  readonly details?: string | undefined;
  readonly locationPrecisionM?: number | undefined;
}

export function contactFrame(trackingId: string, own: OwnContact): Uint8Array {
  const { action, to, relationship = 0, details = "", locationPrecisionM = 0 } = own;
  const contact = create(AwarenessContactSchema, {
    trackingId,
    action,
    relationship,
    details,
    locationPrecisionM,
    timestamp: BigInt(Date.now()),
    ...(to !== undefined && { to: { eid: to } }),
  });
  return checkedFrame("awarenessContact", contact);
}

/** An empty name would mean: to everybody. */
function recipient(stanza: string, to: string | undefined): { readonly to?: { readonly eid: string } } {
  if (to === undefined) return {};
  const field = `${stanza}.to.eid`;
  if (to === "") throw new BimipError(ErrorCode.FIELD_WRONG, `${field}: is missing`, { field });
  return { to: { eid: to } };
}

/** -1, which no rule takes, for what is no word: 0 would mean "as it is". */
function visibilityCode(visibility: Visibility): number {
  return VISIBILITY_CODES[visibility] ?? -1;
}
