import { AuthError, type Claims } from "@bimip/auth";
import { BimipError, ErrorCode, type RefreshRequestSchema, type TokenAuthority } from "@bimip/protocol";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { PROCEDURES } from "@bimip/nats";
import { askRouter } from "./ask-router.js";
import { RefreshRefused, RevokedError } from "./authenticator.js";
import type { Gateway } from "./gateway.js";
import { tokenAnswer } from "./token-answer.js";

/** New tokens of a device. */
export interface Refreshed {
  /** What the new access token says. */
  readonly claims: Claims;
  /** The RESULT that the device gets. */
  readonly frame: Uint8Array;
}

/**
 * Has the router make new tokens, and reads them. Rejects with BimipError, naming the stanza: 401 the refresh token is no good (the text
 * begins with `refresh_token`), 403 it is another's, or the broker makes no tokens, 503 nobody answers.
 */
export async function refreshTokens(
  gateway: Gateway,
  asked: TokenAuthority,
  request: MessageInitShape<typeof RefreshRequestSchema>,
): Promise<Refreshed> {
  const { authenticator, node } = gateway;
  // Before the refresh token is used up: the new token would not be taken.
  authenticator.checkKnown();
  const answer = await askRouter(gateway, PROCEDURES.refresh, request, asked.id, (refusal) => {
    return new RefreshRefused(refusal, asked.id);
  });
  const { token, refreshToken, eid, device } = answer;
  const claims = await authenticator.authenticate(token, device).catch((error: unknown) => {
    throw notAccepted(gateway, error, asked.id);
  });
  const holder = { eid, device, node };
  return { claims, frame: tokenAnswer(asked, holder, { token, refreshToken, expiresAtMs: claims.expiresAtMs }) };
}

/** Revoked in between; or a matter of configuration, which the operator is told. */
function notAccepted({ logger }: Gateway, error: unknown, id: string): BimipError {
  const { code, details } = BimipError.from(error);
  if (!(error instanceof AuthError) || error instanceof RevokedError)
    return new BimipError(code, details, { id, cause: error });
  logger.error({ err: error }, "a token that the router made is not accepted here: keys, issuer and audience must fit");
  const problem = "token_authority.task: the renewed token is not accepted here, tell the operator";
  return new BimipError(ErrorCode.INTERNAL, problem, { id, cause: error });
}
