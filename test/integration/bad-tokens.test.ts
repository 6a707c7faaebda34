// Nobody gets in with a token that is not what it should be: in the upgrade HTTP 401, in the first frame error 401 and close 4401.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { issueRefreshToken } from "@bimip/auth";
import { TokenAuthoritySchema, TokenTask, TokenType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AUDIENCE, type BadToken, badTokens, goodClaims, headerOf, ISSUER, type KnownKeys } from "../kit/bad-tokens.js";
import { Device, HttpRefusal } from "../kit/device.js";
import { JwksServer } from "../kit/jwks-server.js";
import { startSystem, type System } from "../kit/system.js";
import { makeKey, rawToken, signerOf, type TestKey } from "../kit/token-keys.js";

const keys: KnownKeys = {
  hs: makeKey("HS256", "hs-1"),
  rs: makeKey("RS256", "rs-1"),
  es: makeKey("ES256", "es-1"),
  ed: makeKey("EdDSA", "ed-1"),
  nameless: makeKey("ES256"),
};
const published = makeKey("RS256", "published");
const bad: BadToken[] = [
  ...badTokens(keys),
  ["a refresh token", await issueRefreshToken({ key: keys.es, ...refreshing() }), "typ"],
];

function refreshing() {
  return { eid: "mallory@x", device: "phone", family: "f", generation: 1, expiresAtMs: Date.now() + 600_000 };
}

let folder: string;
let issuer: JwksServer;
let system: System;
let url: string;
let accepted = 0;
const lines: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bimip-bad-tokens-"));
  issuer = await JwksServer.start(published.jwk);
  const files: [string, string][] = [
    ["hs.json", JSON.stringify(keys.hs.jwk)],
    ["rs.json", JSON.stringify(keys.rs.jwk)],
    ["set.json", JSON.stringify({ keys: [keys.es.jwk, keys.ed.jwk] })],
    ["nameless.pem", keys.nameless.pem],
  ];
  for (const [name, content] of files) await writeFile(join(folder, name), content);
  system = await startSystem({
    env: {
      BIMIP_JWT_KEY_FILES: files.map(([name]) => join(folder, name)).join(","),
      BIMIP_JWKS_URL: issuer.url,
      BIMIP_JWT_ISSUER: ISSUER,
      BIMIP_JWT_AUDIENCE: AUDIENCE,
      BIMIP_JWT_MAX_LIFETIME_S: "86400",
      BIMIP_RATE_CONNECTS: "off",
    },
    onLog: (line) => lines.push(line),
  });
  url = system.urls[0] ?? "";
});
afterAll(async () => {
  await system.stop();
  await issuer.stop();
  await rm(folder, { recursive: true });
});

/** What no HTTP header can carry goes in the query. */
function upgrade(token: string, way: "header" | "query"): Promise<Device> {
  if (way === "header") return Device.open(url, { token });
  return Device.open(url, { query: `?access_token=${encodeURIComponent(token)}` });
}

async function firstFrame(token: string): Promise<Device> {
  const device = await Device.open(url);
  const { AUTHENTICATE: task } = TokenTask;
  device.send("tokenAuthority", create(TokenAuthoritySchema, { id: "hello", type: TokenType.REQUEST, task, token }));
  return device;
}

test("there are enough of them, each another one", () => {
  expect(bad.length).toBeGreaterThanOrEqual(60);
  expect(new Set(bad.map(([, token]) => token)).size).toBe(bad.length);
  expect(new Set(bad.map(([name]) => name)).size).toBe(bad.length);
});

describe("each is refused", () => {
  test.each(bad)("%s", async (_, token, field) => {
    const safe = /^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/.test(token);
    const refusal: unknown = await upgrade(token, safe ? "header" : "query").then(
      (device) => {
        accepted++;
        device.socket.terminate();
        return "let in";
      },
      (error: unknown) => error,
    );
    expect(refusal).toBeInstanceOf(HttpRefusal);
    expect(refusal).toMatchObject({ status: 401, message: expect.stringMatching(`^401: ${field}: `) });

    const device = await firstFrame(token);
    const error = await device.until("error");
    // What is no token at all the stanza's own check finds.
    const details: unknown = expect.stringMatching(`^(?:token_authority\\.)?${field}: `);
    expect(error).toMatchObject({ code: 401, id: "hello", details });
    expect(await device.closing()).toMatchObject({ code: 4401 });
    if (device.received.length !== 1) accepted++;
  });
});

test("none of them let anybody in, and no log line holds one", () => {
  expect(accepted).toBe(0);
  const log = lines.join("");
  for (const [name, token] of bad) {
    const [, , signature = ""] = token.split(".");
    if (signature.length > 20) expect(log.includes(signature), name).toBe(false);
  }
});

describe("good ones are let in, both ways", () => {
  const good: [string, TestKey, object?, object?][] = [
    ["HS256", keys.hs],
    ["RS256", keys.rs],
    ["ES256", keys.es],
    ["EdDSA", keys.ed],
    ["a key of a PEM", keys.nameless],
    ["a key of the JWKS", published],
    ["without the key's name", keys.ed, {}, { kid: undefined }],
    ["typ at+jwt", keys.rs, {}, { typ: "at+jwt" }],
    ["no typ", keys.es, {}, { typ: undefined }],
    ["more audiences", keys.hs, { aud: ["another-service", AUDIENCE] }],
    ["a header that is not looked at", keys.rs, {}, { jku: "https://evil.example/jwks.json", x5t: "x" }],
  ];
  test.each(good)("%s", async (name, key, more = {}, moreHeader = {}) => {
    const eid = `good ${name}@x`;
    const token = rawToken({ ...headerOf(key), ...moreHeader }, { ...goodClaims(eid), ...more }, signerOf(key));
    const ways = [() => upgrade(token, "header"), () => upgrade(token, "query"), () => firstFrame(token)];
    for (const connect of ways) {
      const device = await connect();
      await device.resumed();
      expect(device.of("error")).toEqual([]);
      device.socket.terminate();
    }
  });
});
