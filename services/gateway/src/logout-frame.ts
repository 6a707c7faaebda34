import { encodeStanza, IdentitySchema, type Logout, LogoutSchema, LogoutStatus } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";

/** What a Logout tells. */
export interface LogoutParts {
  /** LogoutType. */
  readonly type: number;
  /** LogoutStatus; SUCCESS unless told. */
  readonly status?: number;
  readonly details: string;
}

/** Whose sessions end; without a device those of the whole account. */
export interface LogoutTarget {
  readonly eid: string;
  readonly device?: string | undefined;
}

/** The Logout that a device gets, as a frame. */
export function logoutFrame(target: LogoutTarget, node: string, parts: LogoutParts): Uint8Array {
  return encodeStanza("logout", logoutOf(target, node, parts));
}

/** @param node that holds the session; empty: not known */
export function logoutOf(
  { eid, device }: LogoutTarget,
  node: string,
  { type, status = LogoutStatus.SUCCESS, details }: LogoutParts,
): Logout {
  const to = create(IdentitySchema, device === undefined ? { eid, node } : { eid, connectionResourceId: device, node });
  return create(LogoutSchema, { to, type, status, timestamp: BigInt(Date.now()), details });
}
