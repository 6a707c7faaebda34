/** What the bucket of revocations holds; JSON. */
export interface RevocationRecord {
  /**
   * Epoch seconds. By user or device: tokens issued in this second or before are refused, and those that do not say when
   * they were issued. By jti: when it was revoked.
   */
  readonly atS: number;
  /** When the last token that it refuses has expired, epoch milliseconds: the entry vanishes then. 0 = not known, it stays. */
  readonly untilMs: number;
  /** Who asked: an EID, `operator`, or `reuse`: a refresh token was used a second time. For people to read. */
  readonly by: string;
}

/** Two revocations of the same: it refuses what either refuses, for as long as either does. The rest is as the second has it. */
export function mergedRevocation<T extends Pick<RevocationRecord, "atS" | "untilMs">>(one: T, other: T): T {
  const untilMs = one.untilMs === 0 || other.untilMs === 0 ? 0 : Math.max(one.untilMs, other.untilMs);
  return { ...other, atS: Math.max(one.atS, other.atS), untilMs };
}

/** What the bucket of refresh tokens holds; JSON. Nothing in it lets anybody in. */
export interface RefreshFamily {
  /** Random; another one each time that a family begins for the device. */
  readonly family: string;
  /** Number of the newest refresh token, from 1 on. An older one is a copy in other hands. */
  readonly generation: number;
  /** When the family began, epoch seconds: a revocation of its user or device from then on ends it. */
  readonly startedS: number;
  /** When `generation` was made, epoch milliseconds. */
  readonly rotatedMs: number;
  /** When its newest refresh token expires, epoch milliseconds. */
  readonly expiresAtMs: number;
  /** Of the tokens it makes. */
  readonly scopes: readonly string[];
  readonly name: string;
}

/** How the text ends by which a revoked token, or refresh token, is refused: the router says it, and gateways know it by that. */
export const WAS_REVOKED = "was revoked";
