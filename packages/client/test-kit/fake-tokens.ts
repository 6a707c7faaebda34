// Tokens as the fake gateway makes and reads them: JWTs whose signature nobody looks at, or plainly `eid/device`.
import { randomUUID } from "node:crypto";

/** What a fake token says. */
export interface FakeClaims {
  readonly eid: string;
  readonly device: string;
  /** Epoch milliseconds. */
  readonly expiresAtMs?: number;
  readonly jti?: string;
  readonly scope?: string;
  /** Of a refresh token. */
  readonly generation?: number;
}

/** @param lifetimeMs undefined: it does not expire */
export function fakeToken(
  eid: string,
  device: string,
  lifetimeMs?: number,
  extra: { readonly scope?: string; readonly generation?: number } = {},
): string {
  const nowS = Date.now() / 1_000;
  const times = lifetimeMs === undefined ? {} : { exp: nowS + lifetimeMs / 1_000 };
  const claims = { sub: eid, device_id: device, iat: nowS, jti: randomUUID(), ...times, ...extra };
  return ["{}", JSON.stringify(claims), "signed"].map((part) => Buffer.from(part).toString("base64url")).join(".");
}

export function readFakeToken(token: string): FakeClaims {
  const payload = token.split(".")[1];
  if (payload === undefined || token.includes("/")) {
    const [eid = "", device = ""] = token.split("/");
    return { eid, device };
  }
  const claims: unknown = JSON.parse(Buffer.from(payload, "base64url").toString());
  const { sub, device_id, exp, jti, scope, generation } = claims as Record<string, string & number>;
  return {
    eid: sub ?? "",
    device: device_id ?? "",
    ...(exp !== undefined && { expiresAtMs: exp * 1_000 }),
    ...(jti !== undefined && { jti }),
    ...(scope !== undefined && { scope }),
    ...(generation !== undefined && { generation }),
  };
}
