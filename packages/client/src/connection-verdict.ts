import { BimipError, CloseCode, ErrorCode } from "@bimip/protocol";
import type { ConnectionEnd } from "./connection.js";

/** What to do after a connection ended. */
export type Verdict =
  /** Come back by itself; `error` is what to tell. */
  | { readonly kind: "retry"; readonly error: BimipError }
  /** Come back only with another token. */
  | { readonly kind: "newToken"; readonly error: BimipError }
  /** Do not come back. */
  | { readonly kind: "stop"; readonly error: BimipError };

/** Reads the end of a connection: the upgrade's HTTP status, the close code, the error stanza before it. */
export function judgeEnd(end: ConnectionEnd, loggedOut: boolean): Verdict {
  const { httpStatus, code } = end;
  const text = end.reason === "" ? undefined : end.reason;
  if (httpStatus !== undefined) return judgeRefusal(httpStatus, text);
  if (code === CloseCode.TOKEN && end.error?.code !== ErrorCode.TIMED_OUT) {
    const error = end.error ?? new BimipError(ErrorCode.NOT_AUTHENTICATED, text ?? "the token expired or was revoked");
    return { kind: "newToken", error };
  }
  if (code === CloseCode.REPLACED) {
    const details = "another connection of the same device took over";
    return { kind: "stop", error: new BimipError(ErrorCode.CONFLICT, details) };
  }
  if (code === CloseCode.NORMAL && loggedOut) {
    return { kind: "stop", error: new BimipError(ErrorCode.NOT_AUTHENTICATED, "logged out") };
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
