// Tokens, sessions and logout of the command line against the real services.
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { issueToken } from "@bimip/auth";
import { createProgram } from "@bimip/cli";
import { type BimipClient, createClient } from "@bimip/client";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { SECRET, startSystem, type System } from "../kit/system.js";

let system: System;
let dir: string;
const clients: BimipClient[] = [];
const file = (name: string): string => join(dir, name);

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "bimip-cli-"));
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  await writeFile(file("private.pem"), privateKey.export({ type: "pkcs8", format: "pem" }));
  await writeFile(file("public.pem"), publicKey.export({ type: "spki", format: "pem" }));
  system = await startSystem({
    gateways: 2,
    env: { BIMIP_TOKEN_SIGNING_KEY_FILE: file("private.pem"), BIMIP_JWT_KEY_FILES: file("public.pem") },
  });
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
});
afterAll(async () => {
  await system.stop();
  await rm(dir, { recursive: true });
});

const at = (gateway = 0): string[] => ["--secret", SECRET, "--url", system.urls[gateway] ?? ""];
const as = (eid: string, gateway = 0): string[] => ["--as", eid, ...at(gateway)];

/** One command line to its end; rejects with what it throws. */
async function run(args: readonly string[], stdin = ""): Promise<string> {
  let out = "";
  const context = {
    env: {},
    stdin: Readable.from(stdin === "" ? [] : [Buffer.from(stdin)]),
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: () => true },
  };
  await createProgram(context).parseAsync(["node", "bimip", ...args]);
  return out;
}

const tokenOf = (eid: string, device: string): Promise<string> => issueToken({ secret: SECRET, eid, device });

async function app(eid: string, device: string, gateway = 0): Promise<BimipClient> {
  const client = createClient({ url: system.urls[gateway] ?? "", token: await tokenOf(eid, device), receive: false });
  clients.push(client);
  await client.connect();
  return client;
}

const isOut = (client: BimipClient) => eventually("out", () => client.state === "closed");

test("sessions: those of both gateways, with where they come from", async () => {
  await Promise.all([app("ann", "phone"), app("ann", "laptop", 1), app("bob", "phone")]);
  const text = await run(["sessions", ...as("ann")]);
  const lines = text
    .replaceAll(/ {2,}/g, " ")
    .replaceAll(/since \S+/g, "since then")
    .trim()
    .split("\n");
  expect(lines.toSorted()).toEqual([
    "cli-sessions since then 127.0.0.1 gateway-1 this command",
    "laptop since then 127.0.0.1 gateway-2",
    "phone since then 127.0.0.1 gateway-1",
  ]);
  const json = (await run(["sessions", "--json", ...as("ann", 1)])).trim().split("\n");
  expect(json.map((line) => JSON.parse(line))).toContainEqual({
    device: "phone",
    node: "gateway-1",
    since: expect.any(Number),
    lastSeen: expect.any(Number),
    address: "127.0.0.1",
    current: false,
  });
});

test("logout: a device on another gateway, a session, the account, somebody else's account", async () => {
  const [phone, laptop, tv] = [await app("cleo", "phone"), await app("cleo", "laptop", 1), await app("cleo", "tv")];
  await run(["logout", "--session", "laptop", ...as("cleo")]);
  await isOut(laptop);
  await laptop.connect();
  await run(["logout", "--device", "phone", ...as("cleo", 1)]);
  await isOut(phone);
  await expect(phone.connect()).rejects.toMatchObject({ code: 401 });
  expect([laptop.state, tv.state]).toEqual(["online", "online"]);
  await run(["logout", "--account", ...as("cleo")]);
  await Promise.all([isOut(laptop), isOut(tv)]);
  const dora = await app("dora", "phone");
  await run(["logout", "--of", "dora", "--account", ...as("ops")]);
  await isOut(dora);
  const dave = await app("dave", "phone");
  // As the help says it is made: it names no device.
  const admin = (await run(["token", "--eid", "ops", "--scope", "admin", "--secret", SECRET])).trim();
  await run(["logout", "--token", admin, "--of", "dave", "--account", "--url", system.urls[0] ?? ""]);
  await isOut(dave);
  const token = await tokenOf("eve", "phone");
  await expect(
    run(["logout", "--token", token, "--of", "dora", "--account", "--url", system.urls[0] ?? ""]),
  ).rejects.toMatchObject({ code: 403 });
  await expect(run(["logout", "--session", "tv", ...as("eve")])).rejects.toMatchObject({ code: 404 });
});

test("token: signed with a key file, renewed, checked, refused once it is revoked", async () => {
  const url = ["--url", system.urls[0] ?? ""];
  const key = ["--key-file", file("private.pem"), ...url];
  const token = (await run(["token", "make", "--eid", "fay", "--device", "phone", ...key.slice(0, 2)])).trim();
  expect(await run(["token", "validate", token, ...key])).toMatch(/^✓ fay, device phone, until /);
  const made = ["token", "--eid", "fay", "--device", "phone", "--refresh", "--json", ...key];
  const first = JSON.parse(await run(made));
  const second = JSON.parse(await run(["token", "refresh", "--json", ...url], first.refreshToken));
  expect(second).toMatchObject({ eid: "fay", device: "phone", expiresAt: expect.any(Number) });
  expect(await run(["token", "validate", "-", ...key], second.token)).toMatch(/^✓ fay, device phone, until /);
  expect(await run(["token", "revoke", second.token, ...as("fay")])).toMatch(/^refused from now on: the token /);
  await expect(run(["token", "validate", second.token, ...key])).rejects.toThrow("not valid: token: was revoked");
  await run(["token", "revoke", "--device", "phone", ...as("fay", 1)]);
  await expect(run(["token", "validate", token, ...key])).rejects.toThrow("not valid: token: was revoked");
  await expect(run(["token", "refresh", ...url], second.refreshToken)).rejects.toMatchObject({
    code: 401,
    message: expect.stringMatching(/^401 refresh_token: was (?:revoked|ended)/),
  });
});

test("token revoke for the operator, through NATS: by id, device and account", async () => {
  const nats = ["--nats", system.nats.url];
  const token = await tokenOf("gil", "phone");
  const [phone, laptop, tv] = [await app("gil", "phone"), await app("gil", "laptop", 1), await app("gil", "tv")];
  expect(JSON.parse(await run(["token", "revoke", "--eid", "gil", "--device", "laptop", "--json", ...nats]))).toEqual({
    eid: "gil",
    device: "laptop",
    revoked: true,
  });
  await isOut(laptop);
  expect([phone.state, tv.state]).toEqual(["online", "online"]);
  await run(["token", "revoke", token, ...nats]);
  await expect(run(["sessions", "--token", token, "--url", system.urls[1] ?? ""])).rejects.toMatchObject({ code: 401 });
  expect(phone.state).toBe("online"); // by another token
  await run(["token", "revoke", "--jti", "j-1", "--expires", "1h", ...nats]);
  await run(["token", "revoke", "--eid", "gil", ...nats]);
  await Promise.all([isOut(phone), isOut(tv)]);
});
