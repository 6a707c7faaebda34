// What a session may not do is one refusal in the audit, however many places notice it.
import type { Claims } from "@bimip/auth";
import { createTurns } from "@bimip/nats";
import { type BimipError, LogoutSchema, LogoutType, TokenAuthoritySchema, TokenTask } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import type { Gateway } from "../gateway.js";
import { Abuse, Refused } from "../limits/abuse.js";
import type { Session } from "../session.js";
import { handleLogout } from "./logout.js";
import { handleTokenAuthority } from "./token-authority.js";

const to = { eid: "bob@x", node: "" };

test.each([
  ["Logout", (g: Gateway, s: Session) => handleLogout(g, s, create(LogoutSchema, { type: LogoutType.ACCOUNT, to }))],
  [
    "TokenAuthority",
    (g: Gateway, s: Session) =>
      handleTokenAuthority(g, s, create(TokenAuthoritySchema, { task: TokenTask.REVOKE, to })),
  ],
])("%s for another account", async (_, handle) => {
  const refusals: object[] = [];
  const audit = { refused: (refusal: object) => void refusals.push(refusal) };
  const abuse = new Abuse({ refusals: 0, windowMs: 1_000, audit, metrics: {} as never });
  const claims = { eid: "alice@x", device: "phone", jti: "own", scopes: new Set() } as unknown as Claims;
  const session = {
    eid: "alice@x",
    device: "phone",
    address: "192.0.2.1",
    claims,
    ended: false,
    tokensUnderWay: 0,
    inTokenTurn: createTurns(1),
    refused: new Refused(),
    fail: (error: BimipError) => abuse.note(session as never, error),
  };
  await handle({ audit, abuse } as unknown as Gateway, session as unknown as Session);
  expect(refusals).toMatchObject([{ reason: "forbidden", code: 403, eid: "alice@x", address: "192.0.2.1" }]);
});
