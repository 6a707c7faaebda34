/** What a token says of itself; what it does not say is left out. */
export interface TokenClaims {
  readonly eid?: string;
  readonly device?: string;
  /** Epoch milliseconds. */
  readonly issuedAtMs?: number;
  readonly expiresAtMs?: number;
}

/** The claims of a JWT; none of what is no JWT. Nothing is verified: the server does that. */
export function readClaims(token: string): TokenClaims {
  const claims = payloadOf(token);
  const text = (name: string): string | undefined => {
    const value = Object.hasOwn(claims, name) ? claims[name] : undefined;
    return typeof value === "string" ? value : undefined;
  };
  const time = (name: string): number | undefined => {
    const value = Object.hasOwn(claims, name) ? claims[name] : undefined;
    return typeof value === "number" && Number.isFinite(value) ? value * 1_000 : undefined;
  };
  const [eid, device] = [text("eid") ?? text("sub"), text("device_id")];
  const [issuedAtMs, expiresAtMs] = [time("iat"), time("exp")];
  return {
    ...(eid !== undefined && { eid }),
    ...(device !== undefined && { device }),
    ...(issuedAtMs !== undefined && { issuedAtMs }),
    ...(expiresAtMs !== undefined && { expiresAtMs }),
  };
}

/** Milliseconds from its issue to its end; undefined = not said. */
export function lifetimeMs({ issuedAtMs, expiresAtMs }: TokenClaims): number | undefined {
  if (issuedAtMs === undefined || expiresAtMs === undefined || expiresAtMs <= issuedAtMs) return undefined;
  return expiresAtMs - issuedAtMs;
}

/** Milliseconds that it is still good, 0 or less = expired; undefined = not said. */
export function leftMs(claims: TokenClaims): number | undefined {
  if (claims.expiresAtMs === undefined) return undefined;
  const left = claims.expiresAtMs - Date.now();
  // A clock that is behind the issuer's must not make it good for longer than it ever was.
  return Math.min(left, lifetimeMs(claims) ?? left);
}

function payloadOf(token: string): Readonly<Record<string, unknown>> {
  try {
    const base64 = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof claims === "object" && claims !== null ? (claims as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
