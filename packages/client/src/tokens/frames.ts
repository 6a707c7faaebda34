import { encodeStanza, type TokenAuthority, TokenAuthoritySchema, TokenTask, TokenType } from "@bimip/protocol";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { checkedFrame } from "../checked-frame.js";
import type { Tokens } from "./token-store.js";

/** What a connection is opened with. */
export type Credential =
  | { readonly kind: "token"; readonly token: string }
  /** A new access token is asked for by the first frame, which opens the session as well. */
  | { readonly kind: "refresh"; readonly refreshToken: string };

type Init = Omit<MessageInitShape<typeof TokenAuthoritySchema>, "$typeName" | "type" | "timestamp">;

/** The frame of a question about tokens. Throws the BimipError 422 that names the field at fault. */
export function tokenFrame(init: Init): Uint8Array {
  return checkedFrame("tokenAuthority", question(init));
}

/** The first frame of a connection that brings no token otherwise. */
export function firstFrame(id: string, credential: Credential): Uint8Array {
  // Unchecked: what is wrong with a token is the server's to say, as it is where the token travels in a header.
  const init: Init =
    credential.kind === "token"
      ? { id, task: TokenTask.AUTHENTICATE, token: credential.token }
      : { id, task: TokenTask.REFRESH, refreshToken: credential.refreshToken };
  return encodeStanza("tokenAuthority", question(init));
}

/** The tokens in the answer to REFRESH; undefined where it holds none. */
export function tokensIn({ token, refreshToken, expiresAt }: TokenAuthority): Tokens | undefined {
  return token === "" || refreshToken === "" ? undefined : { token, refreshToken, expiresAt: Number(expiresAt) };
}

function question(init: Init): TokenAuthority {
  return create(TokenAuthoritySchema, { type: TokenType.REQUEST, timestamp: BigInt(Date.now()), ...init });
}
