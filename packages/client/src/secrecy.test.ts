// No text that an application may log holds a token.
import { inspect } from "node:util";
import { expect, it, vi } from "vitest";
import { ALICE, browserLikeSockets, useClients } from "../test-kit/clients.js";
import { fakeToken } from "../test-kit/fake-tokens.js";
import { createClient } from "./client.js";
import type { ClientOptions } from "./client-options.js";

const clients = useClients();

/** Everything that a client tells, and what it looks like, while it goes through its life. */
async function textsOf(options: Partial<ClientOptions>, live: (client: ReturnType<typeof createClient>) => unknown) {
  const client = clients.of(ALICE, options);
  const texts: string[] = [];
  const note = (value: unknown): void => void texts.push(inspect(value, { depth: 9, showHidden: true }));
  client.on("error", note);
  client.on("state", note);
  client.on("logout", note);
  await client.connect().catch(note);
  note(client);
  note(JSON.stringify(client));
  await Promise.resolve(live(client)).catch(note);
  await client.close();
  note(client);
  return texts.join("\n");
}

/** The parts of it that nobody may see: a good signature, or claims. */
function partsOf(token: string): string[] {
  return token.split(".").filter((part) => part.length >= 8);
}

it.each([
  ["Node", {}],
  ["browser", { socket: browserLikeSockets }],
])("%s", async (_name, options) => {
  const { gateway } = clients;
  gateway.account.lifetimeMs = 400;
  const { token, refreshToken } = gateway.account.login(ALICE, "laptop");
  const bad = `bad${fakeToken(ALICE, "laptop", 60_000)}`;
  const broken = `${fakeToken(ALICE, "laptop")}\nx`;
  const texts = await Promise.all([
    textsOf({ token: bad, ...options }, () => undefined),
    textsOf({ token: () => broken, ...options }, () => undefined),
    textsOf({ token, refreshToken, ...options }, async (client) => {
      await vi.waitFor(() => expect(gateway.account.asked.length).toBeGreaterThan(2), { timeout: 5_000 });
      gateway.account.fate = () => ({ error: "refresh_token: was revoked" });
      await client.validate(bad).catch(() => undefined);
      await client.revoke({ token: bad });
      await client.refresh();
    }),
  ]);
  const sent = gateway.account.asked.flatMap((asked) => [asked.token, asked.refreshToken]);
  const secrets = [bad, broken, token, refreshToken, ...sent].flatMap(partsOf);
  expect(secrets.length).toBeGreaterThan(8);
  for (const secret of secrets) expect(texts.join("\n")).not.toContain(secret);
});

it("an address that is refused is told without what follows it", () => {
  expect(() => createClient({ url: "http://x/v1/ws?access_token=secret", token: "t" })).toThrow(
    /^url: http:\/\/x\/v1\/ws is not a ws/,
  );
});
