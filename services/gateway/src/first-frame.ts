import type { Claims } from "@bimip/auth";
import { BimipError, ErrorCode, type Stanza, stanzaId, type TokenAuthority, TokenTask } from "@bimip/protocol";
import type { Gateway } from "./gateway.js";
import { tokenAnswer } from "./token-answer.js";
import { refreshTokens } from "./token-refresh.js";

/** Who came in by the first frame. */
export interface Entered {
  readonly claims: Claims;
  /** The answer. */
  readonly frame: Uint8Array;
  /** There are new tokens in it. */
  readonly renewed: boolean;
}

/**
 * The first frame of a connection without a token: AUTHENTICATE with a token, or REFRESH with a refresh token, which makes one.
 *
 * @param device `?device=`
 * @throws BimipError naming the stanza: 401 it does not let in, 403 the broker makes no tokens, 503 nobody can say now
 */
export async function enter(gateway: Gateway, stanza: Stanza, device: string | undefined): Promise<Entered> {
  try {
    if (stanza.kind === "tokenAuthority") {
      if (stanza.value.task === TokenTask.AUTHENTICATE) return await authenticate(gateway, stanza.value, device);
      if (stanza.value.task === TokenTask.REFRESH) return await refresh(gateway, stanza.value, device);
    }
    throw refused("the first stanza must be TokenAuthority with task 4 AUTHENTICATE or 1 REFRESH");
  } catch (error) {
    throw naming(BimipError.from(error), stanzaId(stanza));
  }
}

async function authenticate(gateway: Gateway, asked: TokenAuthority, device: string | undefined): Promise<Entered> {
  const claims = await gateway.authenticator.authenticate(asked.token, device);
  const { eid, expiresAtMs } = claims;
  const holder = { eid, device: claims.device, node: gateway.node };
  return { claims, frame: tokenAnswer(asked, holder, { expiresAtMs }), renewed: false };
}

async function refresh(gateway: Gateway, asked: TokenAuthority, device = ""): Promise<Entered> {
  const { refreshToken } = asked;
  if (refreshToken === "") throw refused("token_authority.refresh_token: is missing");
  return { ...(await refreshTokens(gateway, asked, { device, refreshToken })), renewed: true };
}

function refused(problem: string): BimipError {
  return new BimipError(ErrorCode.NOT_AUTHENTICATED, problem);
}

/** The same error with the stanza's id; of its own kind, which the audit tells apart. */
function naming(error: BimipError, id: string): BimipError {
  return error.id === undefined && id !== "" ? Object.assign(error, { id }) : error;
}
