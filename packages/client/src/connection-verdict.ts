import { BimipError, CloseCode, ErrorCode } from "@bimip/protocol";
import type { ConnectionEnd } from "./connection.js";

/** What to do after a connection ended. */
export type Verdict =
  /** Come back by itself, after `waitMs` at least; `error` is what to tell. */
  | { readonly kind: "retry"; readonly error: BimipError; readonly waitMs?: number }
  /** Come back only with another token. */
  | { readonly kind: "newToken"; readonly error: BimipError }
  /** Do not come back. */
  | { readonly kind: "stop"; readonly error: BimipError };

/** Who was closed for abuse stays away for so long at least. */
const ABUSE_WAIT_MS = 60_000;

/**
 * Reads the end of a connection: the upgrade's HTTP status, the close code, the error stanza before it.
 *
 * @param loggedOut a Logout for this device came before, with these details
 */
export function judgeEnd(end: ConnectionEnd, loggedOut: string | undefined): Verdict {
  const { httpStatus, code } = end;
  const text = end.reason === "" ? undefined : end.reason;
  if (httpStatus !== undefined) return judgeRefusal(httpStatus, text);
  if ((code === CloseCode.NORMAL || code === CloseCode.TOKEN) && loggedOut !== undefined) {
    // Somebody wants this device out: with another token it must not come back by itself either.
    const details = loggedOut === "" ? "logged out" : `logged out: ${loggedOut}`;
    return { kind: "stop", error: new BimipError(ErrorCode.NOT_AUTHENTICATED, details) };
  }
  if (end.refused === true && end.error !== undefined) {
    return { kind: end.error.code === ErrorCode.NOT_AUTHENTICATED ? "newToken" : "stop", error: end.error };
  }
  if (code === CloseCode.TOKEN && end.error?.code !== ErrorCode.TIMED_OUT) {
    const error = end.error ?? new BimipError(ErrorCode.NOT_AUTHENTICATED, text ?? "the token expired or was revoked");
    return { kind: "newToken", error };
  }
  if (code === CloseCode.REPLACED) {
    const details = "another connection of the same device took over";
    return { kind: "stop", error: new BimipError(ErrorCode.CONFLICT, details) };
  }
  if (code === CloseCode.ABUSE) {
    const error = end.error ?? new BimipError(ErrorCode.TOO_FAST, text ?? "closed for abuse");
    return { kind: "retry", error, waitMs: ABUSE_WAIT_MS };
  }
  const error = end.error ?? new BimipError(ErrorCode.TRY_AGAIN, `no connection: ${text ?? `close code ${code}`}`);
  return { kind: "retry", error };
}

function judgeRefusal(status: number, text: string | undefined): Verdict {
  const error = new BimipError(status, text ?? `the server refused the connection with HTTP ${status}`);
  if (status === ErrorCode.NOT_AUTHENTICATED) return { kind: "newToken", error };
  // Our own server means what it says with 403, the page's origin. All else may be said by something on the way to it
  // that will pass: the login page of a network, a load balancer without gateways behind it.
  return { kind: status === ErrorCode.NOT_ALLOWED ? "stop" : "retry", error };
}
