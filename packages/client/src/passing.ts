import { type BimipError, ErrorCode } from "@bimip/protocol";

const CODES: ReadonlySet<number> = new Set([
  ErrorCode.TIMED_OUT,
  ErrorCode.TOO_FAST,
  ErrorCode.INTERNAL,
  ErrorCode.TRY_AGAIN,
]);

/** Another time the server may answer otherwise. */
export function isPassing({ code }: BimipError): boolean {
  return CODES.has(code);
}
