import { AuthError, type Claims, type Verifier } from "@bimip/auth";
import { type Link, WAS_REVOKED } from "@bimip/nats";
import { BimipError, ErrorCode, type RefreshResponse } from "@bimip/protocol";
import type { AuditReason } from "./audit.js";
import type { Revocations } from "./revocations.js";

/** A good token, but revoked. */
export class RevokedError extends AuthError {
  readonly eid: string;
  readonly device: string;

  constructor({ eid, device }: Claims) {
    super("token", WAS_REVOKED);
    this.eid = eid;
    this.device = device;
  }
}

/** What the router says against making new tokens, and to whom; "" where nobody showed a token of the router's. */
export class RefreshRefused extends BimipError {
  readonly eid: string;
  readonly device: string;

  constructor(
    { code, details, eid, device }: Pick<RefreshResponse, "code" | "details" | "eid" | "device">,
    id: string,
  ) {
    super(code, details, { id });
    this.eid = eid;
    this.device = device;
  }
}

/** What the audit is told of a token that was refused; whose it is where its signature was good. */
export function tokenRefusal(error: unknown): {
  readonly reason: AuditReason;
  readonly eid: string;
  readonly device: string;
} {
  // A new token that was revoked meanwhile is the cause of another error.
  const told = error instanceof BimipError && error.cause instanceof RevokedError ? error.cause : error;
  if (told instanceof RevokedError) return { reason: "revoked", eid: told.eid, device: told.device };
  if (told instanceof RefreshRefused) {
    const reason = told.details.endsWith(WAS_REVOKED) ? "revoked" : "token";
    return { reason, eid: told.eid, device: told.device };
  }
  return { reason: "token", eid: "", device: "" };
}

export interface AuthenticatorOptions {
  readonly verifier: Verifier;
  readonly revocations: Pick<Revocations, "current" | "refusal">;
  readonly link: Pick<Link, "up">;
}

/** Whom a token lets in: the one place that decides it, whichever way the token came. */
export class Authenticator {
  readonly #o: AuthenticatorOptions;

  constructor(options: AuthenticatorOptions) {
    this.#o = options;
  }

  /**
   * The claims of a token that is good and not revoked. Resolves within the turn where the key is known.
   *
   * @param device `?device=`, or the session's: used where the token names none, must equal it else
   * @throws AuthError (401) whose text begins with the claim at fault, {@link RevokedError} among them; BimipError 503 while what
   * was revoked meanwhile is not known
   */
  async authenticate(token: string, device?: string): Promise<Claims> {
    const claims = await this.verify(token, device);
    this.checkKnown();
    if (this.#o.revocations.refusal(claims) !== undefined) throw new RevokedError(claims);
    return claims;
  }

  /** @throws BimipError 503 while no token would let in: NATS is away, or revocations cannot be read */
  checkKnown(): void {
    const { link, revocations } = this.#o;
    if (!link.up) throw new BimipError(ErrorCode.TRY_AGAIN, "NATS is away, try again");
    if (!revocations.current) throw new BimipError(ErrorCode.TRY_AGAIN, "revocations cannot be read, try again");
  }

  /** As `authenticate`, for a token that may have been revoked. */
  verify(token: string, device?: string): Promise<Claims> {
    return this.#o.verifier.verify(token, device === undefined ? {} : { device });
  }
}
