// Tokens, sessions and logout of the command line against a gateway in memory.
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { createClient } from "@bimip/client";
import { TokenTask } from "@bimip/protocol";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeGateway } from "../../client/test-kit/fake-gateway.js";
import { fakeToken, readFakeToken } from "../../client/test-kit/fake-tokens.js";
import { createProgram } from "./program.js";

const SECRET = "a secret of at least thirty-two bytes";
const ALICE = "alice@example.com";

let gateway: FakeGateway;
let dir: string;
let keyFile: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "bimip-cli-"));
  keyFile = join(dir, "private.pem");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await writeFile(keyFile, privateKey.export({ type: "pkcs8", format: "pem" }));
});
afterAll(() => rm(dir, { recursive: true }));
beforeEach(async () => {
  gateway = await FakeGateway.start();
});
afterEach(() => gateway.stop());

/** One command line; rejects with what it throws. What it printed is in `printed` all the same. */
const printed = { out: "", err: "" };
async function run(args: readonly string[], stdin = ""): Promise<string> {
  Object.assign(printed, { out: "", err: "" });
  const context = {
    env: { BIMIP_JWT_ISSUER: "https://issuer.example,other" },
    stdin: Readable.from(stdin === "" ? [] : [Buffer.from(stdin)]),
    stdout: { write: (text: string) => (printed.out += text) },
    stderr: { write: (text: string) => (printed.err += text) },
  };
  await createProgram(context).parseAsync(["node", "bimip", ...args]);
  return printed.out;
}

const at = () => ["--url", gateway.url, "--secret", SECRET];
const as = (eid: string) => ["--as", eid, ...at()];
const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());

/** A connected app of that device. */
async function app(eid: string, device: string) {
  const client = createClient({ url: gateway.url, token: fakeToken(eid, device, 60_000), receive: false });
  await client.connect();
  return client;
}

describe("token", () => {
  it("signs with a key file, and says what the server's own settings ask for", async () => {
    const token = (await run(["token", "--eid", ALICE, "--key-file", keyFile, "--audience", "chat"])).trim();
    expect(JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString())).toMatchObject({ alg: "ES256" });
    expect(claimsOf(token)).toMatchObject({ sub: ALICE, iss: "https://issuer.example", aud: "chat" });
    await expect(run(["token", "--eid", ALICE, "--key-file", dir])).rejects.toThrow(/^--key-file: /);
    await expect(run(["token", "--eid", ALICE, "--key-file", keyFile, "--secret", SECRET])).rejects.toThrow("exclude");
    await expect(run(["token", "mint", "--eid", ALICE])).rejects.toThrow("unknown action mint: token takes make");
    await expect(run(["token"])).rejects.toMatchObject({ name: "UsageError", message: expect.stringMatching(/--eid/) });
  });

  it("--refresh begins a family, and refresh goes on with it, once for each refresh token", async () => {
    const make = ["token", "--eid", ALICE, "--device", "phone", "--refresh", ...at()];
    const [token = "", refreshToken = ""] = (await run([...make, "--scope", "push"])).split("\n");
    expect(readFakeToken(token)).toMatchObject({ eid: ALICE, device: "phone", scope: "push refresh" });
    expect(printed.err).toMatch(/^the first is good until \S+.*; the second renews it, once\n$/);
    const url = ["--url", gateway.url];
    const next = JSON.parse(await run(["token", "refresh", "--json", ...url], `${refreshToken}\n`));
    expect(next).toEqual({
      token: expect.stringMatching(/^e/),
      refreshToken: expect.stringMatching(/^e/),
      expiresAt: expect.any(Number),
      eid: ALICE,
      device: "phone",
    });
    const [, third = ""] = (await run(["token", "refresh", next.refreshToken, ...url])).split("\n");
    expect(readFakeToken(third).generation).toBe(3);
    await expect(run(["token", "refresh", refreshToken, ...url])).rejects.toThrow("401 refresh_token: was used before");
    expect(printed).toEqual({ out: "", err: "" });
    await expect(run(["token", "refresh", "nonsense", ...url])).rejects.toThrow("the refresh token is not a JWT");
    await expect(run(["token", "--eid", ALICE, "--refresh", ...at()])).rejects.toThrow("--device");
    gateway.account.fate = ({ task }) => (task === TokenTask.REFRESH ? { code: 403, details: "makes none" } : "answer");
    await expect(run(make)).rejects.toMatchObject({ code: 403 });
  });

  it("validate says yes, or fails with why", async () => {
    const good = fakeToken(ALICE, "phone", 60_000);
    expect(await run(["token", "validate", good, ...at()])).toMatch(
      /^✓ alice@example\.com, device phone, until .*, id [0-9a-f-]{36}\n$/,
    );
    const [session] = gateway.tokens;
    expect(readFakeToken(session ?? "")).toMatchObject({ eid: ALICE, device: "cli-token", scope: "admin" });
    expect(JSON.parse(await run(["token", "validate", "-", "--json", ...at()], good))).toMatchObject({ valid: true });
    const expired = fakeToken(ALICE, "phone", -1);
    await expect(run(["token", "validate", expired, ...as("ops")])).rejects.toThrow(
      "not valid: exp: the token has expired",
    );
    await expect(run(["token", "validate", expired, "--json", ...at()])).rejects.toThrow("not valid");
    expect(JSON.parse(printed.out)).toEqual({ valid: false, details: "exp: the token has expired" });
    await expect(run(["token", "validate", "abc", ...at()])).rejects.toThrow("the token is not a JWT");
    await expect(run(["token", "validate", ...at()])).rejects.toThrow("no token: give it as an argument");
  });

  it("revoke, as a user: a token, an id, a device, an account", async () => {
    const { account } = gateway;
    const token = fakeToken(ALICE, "phone", 60_000);
    const { jti = "", expiresAtMs = 0 } = readFakeToken(token);
    expect(await run(["token", "revoke", token, ...as(ALICE)])).toBe(`refused from now on: the token ${jti}\n`);
    await run(["token", "revoke", "--jti", "j1", "--expires", "2h", ...as(ALICE)]);
    await run(["token", "revoke", "--device", "tv", ...as(ALICE)]);
    const out = await run(["token", "revoke", "--eid", "bob", "--device", "tv", "--json", ...as("ops")]);
    expect(JSON.parse(out)).toEqual({ eid: "bob", device: "tv", revoked: true });
    expect(account.asked.map((asked) => [asked.jti, Number(asked.expiresAt), asked.to?.eid])).toEqual([
      [jti, Math.ceil(expiresAtMs), undefined],
      ["j1", expect.any(Number), undefined],
      ["", 0, ALICE],
      ["", 0, "bob"],
    ]);
    const inMs = Number(account.asked[1]?.expiresAt) - Date.now();
    expect(inMs).toBeGreaterThan(7_190_000);
  });

  it("revoke says what is missing, and where it looked for NATS", async () => {
    const revoke = (...args: string[]) => run(["token", "revoke", ...args]);
    await expect(revoke()).rejects.toMatchObject({ name: "UsageError" });
    await expect(revoke("--jti", "a", "--eid", "b")).rejects.toMatchObject({ name: "UsageError" });
    await expect(revoke("--eid", "b", "--expires", "1h")).rejects.toThrow("--expires goes with --jti");
    await expect(revoke("--device", "phone")).rejects.toThrow("whose device? --eid <eid>");
    await expect(revoke("--eid", "a\nb")).rejects.toThrow("--eid: holds the control character");
    await expect(revoke("--jti", "a", "--expires", "soon")).rejects.toMatchObject({
      code: "commander.invalidArgument",
    });
    await expect(revoke("--eid", "bob", "--nats", "nats://u:secret@127.0.0.1:1")).rejects.toThrow(
      /^cannot connect to NATS at nats:\/\/…@127\.0\.0\.1:1/,
    );
    await expect(revoke("--eid", "bob", "--data-dir", dir)).rejects.toThrow("no NATS to ask");
  });
});

describe("sessions", () => {
  it("lists them, the command's own marked", async () => {
    const phone = await app(ALICE, "phone");
    const bob = await app("bob", "phone");
    const out = (await run(["sessions", ...as(ALICE)])).replaceAll(/since \S+ \S+/g, "since then");
    expect(out).toBe(
      ["phone         since then  127.0.0.1  fake", "cli-sessions  since then  127.0.0.1  fake  this command", ""].join(
        "\n",
      ),
    );
    const lines = (await run(["sessions", "--json", ...as(ALICE)])).trim().split("\n");
    expect(lines.map((line) => JSON.parse(line)).map(({ device, current }) => [device, current])).toEqual([
      ["phone", false],
      ["cli-sessions", true],
    ]);
    await Promise.all([phone.close(), bob.close()]);
  });
});

describe("logout", () => {
  it.each([
    [["--device", "phone"], "✓ logged out: the device phone of alice@example.com\n", ["laptop"]],
    [["--session", "phone"], "✓ logged out: the device phone of alice@example.com, for this time\n", ["laptop"]],
    [["--account"], "✓ logged out: all devices of alice@example.com\n", []],
    [["--everywhere"], "✓ logged out: all devices of alice@example.com\n", []],
  ])("%j", async (options, text, left) => {
    const [phone, laptop] = [await app(ALICE, "phone"), await app(ALICE, "laptop")];
    expect(await run(["logout", ...options, ...as(ALICE)])).toBe(text);
    await vi.waitFor(() => expect([...gateway.sessions].map(({ device }) => device)).toEqual(left));
    expect(phone.state).toBe("closed");
    await laptop.close();
  });

  it("of the token's own device, and of another account", async () => {
    const token = fakeToken(ALICE, "phone", 60_000);
    const own = await run(["logout", "--token", token, "--url", gateway.url, "--json"]);
    expect(JSON.parse(own)).toEqual({ eid: ALICE, what: "device" });
    await expect(run(["sessions", "--token", token, "--url", gateway.url])).rejects.toThrow("401 token: was revoked");
    const bob = await app("bob", "tv");
    await run(["logout", "--of", "bob", "--account", ...as("ops")]);
    await vi.waitFor(() => expect(bob.state).toBe("closed"));
    expect(readFakeToken(gateway.tokens.at(-1) ?? "")).toMatchObject({ eid: "ops", scope: "admin" });
  });

  it("says what is missing, and what the server says", async () => {
    await expect(run(["logout", ...as(ALICE)])).rejects.toMatchObject({ name: "UsageError" });
    await expect(run(["logout", "--device", "a", "--account", ...as(ALICE)])).rejects.toThrow("exclude each other");
    await expect(run(["logout", "--session", "tv", ...as(ALICE)])).rejects.toMatchObject({ code: 404 });
  });
});

it("a token that names no device is used as the command's own device, and is none to log out", async () => {
  const token = (await run(["token", "--eid", ALICE, "--scope", "admin", "--secret", SECRET])).trim();
  const at = ["--token", token, "--url", gateway.url];
  expect(JSON.parse(await run(["sessions", "--json", ...at]))).toMatchObject({ device: "cli-sessions", current: true });
  expect(JSON.parse(await run(["sessions", "--json", "--device", "tv", ...at]))).toMatchObject({ device: "tv" });
  await run(["logout", "--of", "bob", "--account", ...at]);
  await expect(run(["logout", ...at])).rejects.toMatchObject({
    name: "UsageError",
    message: expect.stringMatching("--device"),
  });
  expect(gateway.account.logouts).toHaveLength(1);
});

it("nothing but what makes tokens prints any", async () => {
  const token = fakeToken(ALICE, "phone", 60_000);
  const texts: string[] = [];
  for (const args of [
    ["token", "validate", token],
    ["token", "validate", `${token}x.y.z`],
    ["token", "revoke", token, ...as(ALICE)],
    ["sessions", "--token", token],
    ["logout", "--token", token],
    ["listen", "--token", token, "--count", "1"],
    ["token", "refresh", token],
    ["sessions", "--as", ALICE, "--secret", SECRET, "--url", `ws://127.0.0.1:1/v1/ws?access_token=${token}`],
  ]) {
    const options = args.includes("--as") ? [] : ["--url", gateway.url];
    await run([...args, ...options]).catch((error: unknown) => texts.push(String(error)));
    texts.push(printed.out, printed.err);
  }
  const parts = token.split(".").filter((part) => part.length >= 8);
  for (const part of parts) expect(texts.join("\n")).not.toContain(part);
});
