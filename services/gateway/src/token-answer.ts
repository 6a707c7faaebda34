import { encodeStanza, IdentitySchema, type TokenAuthority, TokenAuthoritySchema, TokenType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";

/** Whom an answer speaks of. `node`: the gateway that holds the session; "" where it speaks of no session. */
export interface TokenHolder {
  readonly eid: string;
  /** undefined: the whole account. */
  readonly device: string | undefined;
  readonly node: string;
}

/** What a TokenAuthority of the server tells beside task and id; ERROR where there are details. */
export interface TokenAnswerParts {
  readonly expiresAtMs?: number | undefined;
  readonly token?: string;
  readonly refreshToken?: string;
  readonly jti?: string | undefined;
  readonly details?: string;
}

/** The answer to a TokenAuthority, as a frame. */
export function tokenAnswer(
  { task, id }: Pick<TokenAuthority, "task" | "id">,
  { eid, device, node }: TokenHolder,
  { expiresAtMs = 0, token = "", refreshToken = "", jti = "", details = "" }: TokenAnswerParts,
): Uint8Array {
  const answer = create(TokenAuthoritySchema, {
    to: create(IdentitySchema, { eid, node, ...(device === undefined ? {} : { connectionResourceId: device }) }),
    token,
    type: details === "" ? TokenType.RESULT : TokenType.ERROR,
    task,
    timestamp: BigInt(Date.now()),
    details,
    refreshToken,
    expiresAt: BigInt(expiresAtMs),
    id,
    jti,
  });
  return encodeStanza("tokenAuthority", answer);
}
