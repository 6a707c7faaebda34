import { SCOPES } from "@bimip/auth";
import type { Session } from "../session.js";

/** May do to all accounts what everyone may do to their own. */
export function isAdmin({ claims }: Pick<Session, "claims">): boolean {
  return claims.scopes.has(SCOPES.admin);
}

/** Whether the session may revoke tokens and end sessions of the account. */
export function isMine(session: Pick<Session, "claims" | "eid">, eid: string): boolean {
  return eid === session.eid || isAdmin(session);
}
