import { AuthError, type Claims, SCOPES } from "@bimip/auth";
import { BimipError, CloseCode, ErrorCode, TokenTask, type TokenAuthority } from "@bimip/protocol";
import { tokenRefusal } from "../authenticator.js";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { tokenAnswer, type TokenAnswerParts, type TokenHolder } from "../token-answer.js";
import { refreshTokens } from "../token-refresh.js";
import { forStanza } from "./refusals.js";
import { type Refused, revokeTokens } from "./revoke-tokens.js";
import { isAdmin, isMine } from "./rights.js";
import { inTokenTurn } from "./token-turn.js";

/** What a device asks about tokens on its open session. A token that is no good is answered with type 3, and the session lives on. */
export async function handleTokenAuthority(gateway: Gateway, session: Session, asked: TokenAuthority): Promise<void> {
  await inTokenTurn(session, asked.id, async () => {
    try {
      await work(gateway, session, asked);
    } catch (thrown) {
      refuse(gateway, session, asked, thrown);
    }
  });
}

async function work(gateway: Gateway, session: Session, asked: TokenAuthority): Promise<void> {
  if (session.ended) return;
  switch (asked.task) {
    case TokenTask.AUTHENTICATE:
      return authenticate(gateway, session, asked);
    case TokenTask.VALIDATE:
      return validate(gateway, session, asked);
    case TokenTask.REVOKE:
      return revoke(gateway, session, asked);
    default:
      // A refresh token that was used before revokes the device.
      return session.answerFirst(() => refresh(gateway, session, asked));
  }
}

/** Another token of this account and device takes over. */
async function authenticate(gateway: Gateway, session: Session, asked: TokenAuthority): Promise<void> {
  const claims = await claimsOf(asked.token, session, (token, device) =>
    gateway.authenticator.authenticate(token, device),
  );
  if (claims.eid !== session.eid || claims.device !== session.device)
    throw forbidden("token", "is not of this session's account and device");
  session.renew(claims);
  answer(gateway, session, asked, { expiresAtMs: claims.expiresAtMs });
}

async function validate(gateway: Gateway, session: Session, asked: TokenAuthority): Promise<void> {
  const isOwn = asked.token === "";
  const claims = isOwn
    ? session.claims
    : await claimsOf(asked.token, session, (token, device) => gateway.authenticator.authenticate(token, device));
  const { eid, device, expiresAtMs, jti } = claims;
  if (!isMine(session, eid)) throw forbidden("token", "is of another account, which takes the scope admin");
  answer(gateway, session, asked, { expiresAtMs, jti }, { eid, device, node: isOwn ? gateway.node : "" });
}

async function revoke(gateway: Gateway, session: Session, asked: TokenAuthority): Promise<void> {
  const { request, isOwn, holder } = await revocationOf(gateway, session, asked);
  const store = async (): Promise<void> => {
    await revokeTokens(gateway, session, request, { kind: "tokenAuthority", id: asked.id });
    answer(gateway, session, asked, {}, holder);
  };
  if (!isOwn) return store();
  await session.answerFirst(async () => {
    await store();
    gateway.metrics.ended.inc({ reason: "revoked_itself" });
    session.close(CloseCode.TOKEN, "token revoked");
  });
}

interface Revocation {
  readonly request: Refused;
  /** The session's own token is among those. */
  readonly isOwn: boolean;
  readonly holder: TokenHolder;
}

/** What a REVOKE is about: the token of an id, a token, a device or an account, or the session's own token. */
async function revocationOf(gateway: Gateway, session: Session, asked: TokenAuthority): Promise<Revocation> {
  const { jti, token, to, expiresAt } = asked;
  if (jti !== "" && token !== "") throw wrong("jti", "is set beside token");
  if (jti !== "") {
    if (jti === session.claims.jti) return ofOwnToken(gateway, session, jti);
    if (!isAdmin(session)) throw forbidden("jti", "is not that of this session's token, which takes the scope admin");
    // It would be taken for expired, and not be stored.
    if (expiresAt > 0n && expiresAt <= BigInt(Date.now())) throw wrong("expires_at", "lies in the past");
    return { request: ofJti(jti, expiresAt), isOwn: false, holder: holderOf(session, gateway) };
  }
  if (token !== "") return ofToken(gateway, session, token);
  const { eid: named = "", connectionResourceId: device } = to ?? {};
  if (named !== "" || device !== undefined) return ofHolder(session, named === "" ? session.eid : named, device);
  const own = session.claims.jti;
  if (own === undefined) throw wrong("jti", "this session's token has none: name the device or the account in to");
  return ofOwnToken(gateway, session, own);
}

function ofOwnToken(gateway: Gateway, session: Session, jti: string): Revocation {
  // What the device says of its expiry does not count.
  const expiresAt = BigInt(session.claims.expiresAtMs ?? 0);
  return { request: ofJti(jti, expiresAt), isOwn: true, holder: holderOf(session, gateway) };
}

async function ofToken(gateway: Gateway, session: Session, token: string): Promise<Revocation> {
  // One that is revoked already may be revoked again.
  const claims = await claimsOf(token, session, (text, device) => gateway.authenticator.verify(text, device));
  const { jti, eid, device, expiresAtMs = 0 } = claims;
  if (!isMine(session, eid)) throw forbidden("token", "is of another account, which takes the scope admin");
  if (jti === undefined) throw wrong("token", "has no jti, by which it could be revoked");
  const holder = { eid, device, node: "" };
  return { request: ofJti(jti, BigInt(expiresAtMs)), isOwn: jti === session.claims.jti, holder };
}

function ofHolder(session: Session, eid: string, device: string | undefined): Revocation {
  if (!isMine(session, eid)) throw forbidden("to.eid", "is another account, which takes the scope admin");
  const what: Refused["what"] =
    device === undefined ? { case: "eid", value: eid } : { case: "device", value: { eid, device } };
  const isOwn = eid === session.eid && (device === undefined || device === session.device);
  return { request: { what }, isOwn, holder: { eid, device, node: "" } };
}

function ofJti(jti: string, expiresAt: bigint): Refused {
  return { what: { case: "jti", value: jti }, expiresAt };
}

/** New tokens; the access token takes over here at once. */
async function refresh(gateway: Gateway, session: Session, asked: TokenAuthority): Promise<void> {
  const { eid, device, claims } = session;
  const { refreshToken } = asked;
  const scopes = [...claims.scopes];
  if (refreshToken === "" && !claims.scopes.has(SCOPES.refresh))
    throw forbidden("task", "1 REFRESH takes a refresh_token, or a token with the scope refresh to begin with");
  const issuedAtS = BigInt(claims.issuedAtS ?? 0);
  const request = { eid, device, refreshToken, scopes, name: claims.name ?? "", issuedAtS };
  const refreshed = await refreshTokens(gateway, asked, request);
  session.renew(refreshed.claims);
  session.send(refreshed.frame);
}

/**
 * What a token says, whichever device it is of: the session's where it names none.
 *
 * @throws AuthError
 */
async function claimsOf(
  token: string,
  session: Session,
  read: (token: string, device?: string) => Promise<Claims>,
): Promise<Claims> {
  try {
    return await read(token, session.device);
  } catch (error) {
    if (error instanceof AuthError && error.field === "device_id") return read(token);
    throw error;
  }
}

function holderOf({ eid, device }: Session, { node }: Gateway): TokenHolder {
  return { eid, device, node };
}

function answer(
  gateway: Gateway,
  session: Session,
  asked: TokenAuthority,
  parts: TokenAnswerParts,
  holder = holderOf(session, gateway),
): void {
  session.send(tokenAnswer(asked, holder, parts));
}

/** What is wrong with a token is told by type 3; what may not be, or cannot be now, by an ErrorMessage. */
function refuse(gateway: Gateway, session: Session, asked: TokenAuthority, thrown: unknown): void {
  const error = BimipError.from(thrown);
  const { code, details } = error;
  if (code === ErrorCode.NOT_AUTHENTICATED) {
    const { eid, device, address } = session;
    const { reason } = tokenRefusal(thrown);
    gateway.audit.refused({ reason, code, eid, device, address, details });
    return answer(gateway, session, asked, { details });
  }
  if (code === ErrorCode.INTERNAL && !(thrown instanceof BimipError))
    gateway.logger.error({ err: thrown }, "stanza failed");
  session.fail(forStanza(error, asked.id));
}

function forbidden(field: string, problem: string): BimipError {
  return new BimipError(ErrorCode.NOT_ALLOWED, `token_authority.${field}: ${problem}`);
}

function wrong(field: string, problem: string): BimipError {
  return new BimipError(ErrorCode.FIELD_WRONG, `token_authority.${field}: ${problem}`);
}
