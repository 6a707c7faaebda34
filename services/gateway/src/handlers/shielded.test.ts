// A session is shielded from revocations only while it is told what becomes of itself: waiting for others must not keep it open.
import type { Claims } from "@bimip/auth";
import { createTurns } from "@bimip/nats";
import {
  type Logout,
  LogoutSchema,
  LogoutType,
  type TokenAuthority,
  TokenAuthoritySchema,
  TokenTask,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { handleLogout } from "./logout.js";
import { handleTokenAuthority } from "./token-authority.js";

const never = (): Promise<never> => new Promise(() => undefined);
const nothing = (): undefined => undefined;

/** An administrator's session; neither the router nor awareness answers, and the key of a token is being looked for. */
function setUp() {
  const gateway = {
    node: "n",
    link: { up: true, nc: { request: never } },
    authenticator: { verify: never, authenticate: never },
    metrics: { ended: { inc: nothing } },
  } as unknown as Gateway;
  let answering = 0;
  const claims = { eid: "alice@x", device: "phone", jti: "own", scopes: new Set(["admin"]), expiresAtMs: undefined };
  const session = {
    eid: "alice@x",
    device: "phone",
    claims: claims as unknown as Claims,
    ended: false,
    tokensUnderWay: 0,
    inTokenTurn: createTurns(1),
    awareness: { registered: never },
    async answerFirst(work: () => Promise<void>) {
      answering++;
      await work();
    },
  } as unknown as Session;
  return { gateway, session, shielded: () => answering > 0 };
}

const device = (name: string, eid = "alice@x") => ({ eid, connectionResourceId: name, node: "" });

async function turns(): Promise<void> {
  for (let n = 0; n < 20; n++) await Promise.resolve();
}

test.each<[what: string, init: Partial<Logout>, shielded: boolean]>([
  ["the session of another device", { type: LogoutType.SESSION, to: device("pad") as never }, false],
  ["another device", { type: LogoutType.DEVICE, to: device("pad") as never }, false],
  ["another account", { type: LogoutType.ACCOUNT, to: { eid: "bob@x", node: "" } as never }, false],
  ["its own device", { type: LogoutType.DEVICE }, true],
  ["its own account", { type: LogoutType.ACCOUNT }, true],
])("Logout of %s", async (_, init, expected) => {
  const { gateway, session, shielded } = setUp();
  void handleLogout(gateway, session, create(LogoutSchema, init as never));
  await turns();
  expect(shielded()).toBe(expected);
});

test.each<[what: string, init: Partial<TokenAuthority>, shielded: boolean]>([
  ["a token whose key is being looked for", { token: "t" }, false],
  ["another's jti", { jti: "other" }, false],
  ["another device", { to: device("pad") as never }, false],
  ["its own token", {}, true],
  ["its own jti", { jti: "own" }, true],
  ["its own account", { to: { eid: "alice@x", node: "" } as never }, true],
])("REVOKE of %s", async (_, init, expected) => {
  const { gateway, session, shielded } = setUp();
  void handleTokenAuthority(
    gateway,
    session,
    create(TokenAuthoritySchema, { task: TokenTask.REVOKE, ...init } as never),
  );
  await turns();
  expect(shielded()).toBe(expected);
});
