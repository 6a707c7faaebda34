import type { Claims } from "@bimip/auth";
import type { AuditReason } from "../audit.js";
import type { Gateway } from "../gateway.js";
import type { ConnectionLimit, Place } from "../ports.js";

/** A connection that is not let in, whatever way that is said. */
export interface DoorRefusal {
  readonly status: 403 | 429 | 503;
  readonly details: string;
  /** When to come back; undefined: nobody knows. */
  readonly retryAfterS?: number | undefined;
}

/** Whom it concerns, as far as that is known. */
interface Whom {
  readonly eid: string;
  readonly device: string;
}

const STRANGER: Whom = { eid: "", device: "" };

/** Counts the refusal, and tells the audit. */
export function refuseConnection(
  { metrics, audit }: Pick<Gateway, "metrics" | "audit">,
  limit: ConnectionLimit,
  address: string,
  { status, details }: DoorRefusal,
  { eid, device }: Whom = STRANGER,
): void {
  metrics.connectionsRefused.inc({ limit });
  audit.refused({ reason: reasonOf(limit), code: status, eid, device, address, details });
}

/** Whose token is good gets a place, or hears why not: the account has too many, or was closed for abuse just now. */
export function seat(gateway: Gateway, place: Place, claims: Claims, address: string): DoorRefusal | undefined {
  const barredMs = gateway.abuse.barredMs(claims.eid);
  if (barredMs > 0) {
    const details = gateway.abuse.barredDetails(barredMs);
    const refusal: DoorRefusal = { status: 429, details, retryAfterS: Math.ceil(barredMs / 1_000) };
    refuseConnection(gateway, "barred", address, refusal, claims);
    return refusal;
  }
  const refused = place.known(claims.eid, claims.device)?.refused;
  if (refused !== undefined) refuseConnection(gateway, refused.limit, address, refused, claims);
  return refused;
}

function reasonOf(limit: ConnectionLimit): AuditReason {
  if (limit === "origin" || limit === "overload") return limit;
  return limit === "barred" ? "abuse" : "connections";
}
