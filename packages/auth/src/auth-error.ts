import { BimipError, ErrorCode } from "@bimip/protocol";

/** A token that does not open a session: code 401, `field` is the claim at fault. The text holds no value of the token. */
export class AuthError extends BimipError {
  constructor(field: string, problem: string, cause?: unknown) {
    super(ErrorCode.NOT_AUTHENTICATED, `${field}: ${problem}`, { field, cause });
  }
}
