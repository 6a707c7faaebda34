import { setTimeout as delay } from "node:timers/promises";
import {
  BimipError,
  CloseCode,
  EndRequestSchema,
  EndResponseSchema,
  ErrorCode,
  type Logout,
  LogoutSchema,
  LogoutStatus,
  LogoutType,
} from "@bimip/protocol";
import { call, jitteredStepMs, PROCEDURES, SUBJECTS } from "@bimip/nats";
import { toBinary } from "@bufbuild/protobuf";
import { ask, deadlineMs } from "../awareness/ask.js";
import type { Gateway } from "../gateway.js";
import { logoutFrame, logoutOf } from "../logout-frame.js";
import type { Session } from "../session.js";
import { type Refused, revokeTokens } from "./revoke-tokens.js";
import { isMine } from "./rights.js";
import { inTokenTurn } from "./token-turn.js";

/** A gateway that does not answer within this time does not hold the session any more. */
const END_TIMEOUT_MS = 1_000;
const RETRY_MS = [50, 100, 250, 500] as const;

/** What a Logout is about. */
interface Target {
  readonly eid: string;
  /** undefined: the whole account. */
  readonly device: string | undefined;
  /** The session that asks is among those that end. */
  readonly isOwn: boolean;
}

/**
 * Logs out the account, a device with all its tokens, or a device's open session. The session that asks is answered by a Logout of
 * the same type, status 1 or 2, and closed with 1000 if it was meant; the others get theirs from the gateways that hold them.
 */
export async function handleLogout(gateway: Gateway, session: Session, asked: Logout): Promise<void> {
  await inTokenTurn(session, "", () => work(gateway, session, asked));
}

async function work(gateway: Gateway, session: Session, { type, to }: Logout): Promise<void> {
  if (session.ended) return;
  const eid = to === undefined || to.eid === "" ? session.eid : to.eid;
  if (!isMine(session, eid)) return forbid(session);
  const ofAccount = type === LogoutType.ACCOUNT;
  const device = ofAccount
    ? undefined
    : (to?.connectionResourceId ?? (eid === session.eid ? session.device : undefined));
  if (!ofAccount && device === undefined) {
    const field = "logout.to.connection_resource_id";
    return session.fail(new BimipError(ErrorCode.FIELD_WRONG, `${field}: is missing`, { field }));
  }
  const target: Target = { eid, device, isOwn: eid === session.eid && (ofAccount || device === session.device) };
  if (!target.isOwn) return logOut(gateway, session, type, target);
  // What ends the session may come back to it sooner than the answer that it is done.
  await session.answerFirst(() => logOut(gateway, session, type, target));
}

async function logOut(gateway: Gateway, session: Session, type: number, target: Target): Promise<void> {
  const { eid, device, isOwn } = target;
  try {
    if (type !== LogoutType.SESSION) await revoke(gateway, session, target);
    else if (!isOwn) await endSession(gateway, session, eid, device ?? "");
  } catch (thrown) {
    if (!(thrown instanceof BimipError)) gateway.logger.error({ err: thrown }, "stanza failed");
    return answer(gateway, session, type, target, BimipError.from(thrown));
  }
  answer(gateway, session, type, target);
  if (!isOwn) return;
  gateway.metrics.ended.inc({ reason: "logged_out" });
  session.close(CloseCode.NORMAL, "logged out");
}

/** Refuses the tokens of the device, or the account, from now on: gateways end their sessions for it. */
async function revoke(gateway: Gateway, session: Session, { eid, device }: Target): Promise<void> {
  const what: Refused["what"] =
    device === undefined ? { case: "eid", value: eid } : { case: "device", value: { eid, device } };
  await revokeTokens(gateway, session, { what }, { kind: "logout", id: "" });
}

/** Ends the open session of a device, wherever it is. @throws BimipError 404 when there is none, 503 when nobody answers */
async function endSession(gateway: Gateway, session: Session, eid: string, device: string): Promise<void> {
  const stanza = { id: "", deadlineMs: deadlineMs() };
  const details = eid === session.eid ? `logged out by the device ${session.device}` : "logged out by an administrator";
  for (let tries = 0; ; tries++) {
    const { sessions } = await ask(gateway, session, PROCEDURES.sessions, { eid, device }, stanza);
    const [open] = sessions;
    if (open === undefined) {
      // It ended while it was looked for, perhaps by the question whose answer got lost.
      if (tries > 0) return;
      throw new BimipError(ErrorCode.UNKNOWN, "no session of this device is open");
    }
    const logout = logoutOf({ eid, device }, open.node, { type: LogoutType.SESSION, details });
    const request = { device, sessionId: open.sessionId, logout: toBinary(LogoutSchema, logout) };
    try {
      const end = { subject: SUBJECTS.end(eid), request: EndRequestSchema, response: EndResponseSchema };
      await call(gateway.link.nc, end, request, END_TIMEOUT_MS);
      const by = { eid: session.eid, device: session.device };
      gateway.logger.info({ by, eid, device, address: open.address }, "session logged out");
      return;
    } catch (cause) {
      const waitMs = jitteredStepMs(RETRY_MS, tries);
      if (performance.now() + waitMs >= stanza.deadlineMs)
        throw new BimipError(ErrorCode.TRY_AGAIN, "the session's gateway does not answer, try again", { cause });
      await delay(waitMs);
    }
  }
}

function answer(
  { node }: Gateway,
  session: Session,
  type: number,
  { eid, device, isOwn }: Target,
  failure?: BimipError,
): void {
  const to = { eid, device: isOwn ? session.device : device };
  const outcome =
    failure === undefined
      ? { status: LogoutStatus.SUCCESS, details: "" }
      : { status: LogoutStatus.FAILED, details: `${failure.code}: ${failure.details}` };
  session.send(logoutFrame(to, isOwn ? node : "", { type, ...outcome }));
}

function forbid(session: Session): void {
  const field = "logout.to.eid";
  const problem = `${field}: is another account, which takes the scope admin`;
  session.fail(new BimipError(ErrorCode.NOT_ALLOWED, problem, { field }));
}
