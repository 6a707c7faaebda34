import { PROCEDURES } from "@bimip/nats";
import { BimipError, type RevokeRequestSchema, type StanzaKind, stanzaName } from "@bimip/protocol";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { askRouter } from "../ask-router.js";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { isAdmin } from "./rights.js";

/** Which tokens are refused from now on; the session may have them refused. */
export type Refused = Pick<MessageInitShape<typeof RevokeRequestSchema>, "what" | "expiresAt">;

/** What the router calls the device, and stanzas call by their `to`. */
const DEVICE_FIELD = /^device\.device(?=:)/;

/**
 * Has the router refuse tokens. Resolves once that is stored and known here, so that who hears that it is done finds them refused; where this
 * gateway does not come to know it in time, it resolves all the same: it is stored, and ends sessions when it comes. Rejects with BimipError as
 * `askRouter` does: 404, naming the field of the stanza, for a device that was never seen.
 */
export async function revokeTokens(
  gateway: Gateway,
  session: Session,
  request: Refused,
  { kind, id }: { readonly kind: StanzaKind; readonly id: string },
): Promise<void> {
  const question = { ...request, by: session.eid, seenOnly: isSeenOnly(session, request) };
  const { revision } = await askRouter(gateway, PROCEDURES.revoke, question, id).catch((error: unknown) => {
    throw error instanceof BimipError ? inWordsOf(error, kind) : error;
  });
  await gateway.revocations.reached(Number(revision));
}

/** An account could make up devices without end. The session's own one may be so new that the registry does not hold it yet. */
function isSeenOnly(session: Session, { what }: Refused): boolean {
  return what?.case === "device" && what.value.device !== session.device && !isAdmin(session);
}

function inWordsOf(error: BimipError, kind: StanzaKind): BimipError {
  const { code, details, id, cause } = error;
  if (!DEVICE_FIELD.test(details)) return error;
  const named = details.replace(DEVICE_FIELD, `${stanzaName(kind)}.to.connection_resource_id`);
  return new BimipError(code, named, { cause, ...(id === undefined ? {} : { id }) });
}
