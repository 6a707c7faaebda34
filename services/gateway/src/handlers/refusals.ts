import { BimipError, ErrorCode, type StanzaKind, stanzaName } from "@bimip/protocol";

/** The same error, naming the stanza. */
export function forStanza({ code, details }: BimipError, id: string): BimipError {
  return new BimipError(code, details, { id });
}

/** A refusal of another service, whose details begin with a field, for a stanza of this kind. */
export function flowRefusal(
  { code, details }: Pick<BimipError, "code" | "details">,
  kind: StanzaKind,
  id: string,
): BimipError {
  return new BimipError(code, `${stanzaName(kind)}.${details}`, { id });
}

/** Whatever was thrown, for the client: what is not a BimipError came from NATS or storage, and passes. */
export function tryAgainUnlessKnown(thrown: unknown, id: string, details: string): BimipError {
  if (thrown instanceof BimipError) return forStanza(thrown, id);
  return new BimipError(ErrorCode.TRY_AGAIN, details, { id, cause: thrown });
}

/** More is under way than one session may have. */
export function tooMany(count: number, what: string, id: string): BimipError {
  return new BimipError(ErrorCode.TOO_FAST, `more than ${count} ${what}, try again in 1 s`, { id });
}
