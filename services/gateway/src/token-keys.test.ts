import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { issueToken } from "@bimip/auth";
import { createHealth, createLogger, createMetrics, type ServiceContext } from "@bimip/runtime";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { eventually } from "../../../test/kit/eventually.js";
import { JwksServer } from "../../../test/kit/jwks-server.js";
import { makeKey } from "../../../test/kit/token-keys.js";
import { readConfig } from "./config.js";
import { openTokenKeys, type TokenKeys } from "./token-keys.js";

const secret = "a secret of more than thirty-two bytes";
const rs = makeKey("RS256", "rs");
const es = makeKey("ES256");

let folder: string;
let lines: string[];
let abort: AbortController;
let context: ServiceContext;
const opened: TokenKeys[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "bimip-token-keys-"));
  lines = [];
  abort = new AbortController();
  const logger = createLogger("gateway", "info", { write: (line) => lines.push(line) });
  context = { logger, metrics: createMetrics("gateway"), health: createHealth(), signal: abort.signal };
});
afterEach(async () => {
  vi.useRealTimers();
  abort.abort();
  for (const keys of opened.splice(0)) keys.stop();
  await rm(folder, { recursive: true });
});

async function open(env: Record<string, string>): Promise<TokenKeys> {
  const keys = await openTokenKeys(readConfig(env), context);
  opened.push(keys);
  return keys;
}

async function write(name: string, content: string): Promise<string> {
  await writeFile(join(folder, "new"), content);
  await rename(join(folder, "new"), join(folder, name));
  return join(folder, name);
}

test("a gateway without any key does not start", () => {
  expect(() => readConfig({})).toThrow("one of BIMIP_JWT_SECRET, BIMIP_JWT_KEY_FILES and BIMIP_JWKS_URL is required");
});

test("a secret alone, where its algorithm is not allowed: it does not start, naming both settings", () => {
  const env = { BIMIP_JWT_SECRET: secret, BIMIP_JWT_ALGORITHMS: "RS256,ES256" };
  const problem = /BIMIP_JWT_SECRET is a key of HS256 .* BIMIP_JWT_ALGORITHMS does not allow HS256/;
  expect(() => readConfig(env)).toThrow(problem);
  expect(() => readConfig({ ...env, BIMIP_JWKS_URL: "https://issuer.example/jwks" })).not.toThrow();
});

test("what does not fit together is told with what cannot be read", () => {
  const told = /BIMIP_PROT is not .*; BIMIP_PORT: expected .*; BIMIP_TLS_CERT_FILE and .*; one of BIMIP_JWT_SECRET/;
  expect(() => readConfig({ BIMIP_PROT: "1", BIMIP_PORT: "x", BIMIP_TLS_KEY_FILE: "a" })).toThrow(told);
});

test("secret and files: tokens of each, and the rules of the configuration", async () => {
  const files = `${await write("rs.json", JSON.stringify(rs.jwk))}, ${await write("es.pem", es.pem)}`;
  const { verifier } = await open({
    BIMIP_JWT_SECRET: secret,
    BIMIP_JWT_KEY_FILES: files,
    BIMIP_JWT_ALGORITHMS: "HS256,RS256",
    BIMIP_JWT_ISSUER: "https://a.example, b",
    BIMIP_JWT_AUDIENCE: "chat",
    BIMIP_JWT_CLOCK_SKEW_S: "0",
    BIMIP_JWT_MAX_LIFETIME_S: "60",
  });
  const good = { eid: "a", device: "d", issuer: "b", audience: "chat", expiresInS: 60 };
  expect(await verifier.verify(await issueToken({ ...good, secret }))).toMatchObject({ eid: "a" });
  expect(await verifier.verify(await issueToken({ ...good, key: rs }))).toMatchObject({ eid: "a" });
  await expect(verifier.verify(await issueToken({ ...good, key: es }))).rejects.toThrow(/^alg: is not HS256, RS256$/);
  await expect(verifier.verify(await issueToken({ ...good, secret, issuer: "c" }))).rejects.toThrow(/^iss: /);
  await expect(verifier.verify(await issueToken({ ...good, secret, audience: "x" }))).rejects.toThrow(/^aud: /);
  await expect(verifier.verify(await issueToken({ ...good, secret, expiresInS: 61 }))).rejects.toThrow(/^exp: lies/);
  const ahead = issueToken({ ...good, secret, nowMs: Date.now() + 3_000 });
  await expect(verifier.verify(await ahead)).rejects.toThrow(/^iat: /);
  expect(await context.metrics.text()).toContain('bimip_gateway_token_keys{service="gateway"} 2');
  // Of a file whose only key nobody may use.
  expect(lines.join("")).toContain("no key there that tokens may be signed with");
});

test("a key file that cannot be used ends the start, naming it", async () => {
  const path = await write("keys", "hunter2");
  await expect(open({ BIMIP_JWT_KEY_FILES: path })).rejects.toThrow(`BIMIP_JWT_KEY_FILES: ${path}: holds neither`);
});

test("a file that breaks is told in the log and counted; nothing of it is in there", async () => {
  const path = await write("keys", JSON.stringify(rs.jwk));
  const { verifier } = await open({ BIMIP_JWT_KEY_FILES: path });
  await write("keys", '{"k":"hunter2"');
  await eventually("a log line", () => lines.some((line) => line.includes("those from before stay")));
  expect(lines.join("")).toContain(path);
  expect(lines.join("")).not.toContain("hunter2");
  expect(await verifier.verify(await issueToken({ key: rs, eid: "a", device: "d" }))).toMatchObject({ eid: "a" });
  expect(await context.metrics.text()).toMatch(/token_key_reads_total\{.*source="file",result="refused".*\} 1/);
});

describe("JWKS", () => {
  let issuer: JwksServer;
  beforeEach(async () => {
    issuer = await JwksServer.start(rs.jwk);
  });
  afterEach(() => issuer.stop());

  test("nothing is ready before it was read", async () => {
    await issuer.stop();
    context.health.set("start", true);
    const opening = open({ BIMIP_JWKS_URL: issuer.url });
    await eventually("a try", () => lines.some((line) => line.includes("did not answer: ECONNREFUSED")));
    expect(context.health.ready.parts["jwks"]).toEqual({ ok: false, detail: "not read yet" });
    expect(context.health.ready.ok).toBe(false);
    await issuer.startAgain();
    const { verifier } = await opening;
    expect(context.health.ready.ok).toBe(true);
    expect(await verifier.verify(await issueToken({ key: rs, eid: "a", device: "d" }))).toMatchObject({ eid: "a" });
  });

  test("what is wrong is told once, another thing again, and that it works again", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    await open({ BIMIP_JWKS_URL: issuer.url, BIMIP_JWKS_REFRESH_S: "5" });
    const told = (text: string) => lines.filter((line) => line.includes(text)).length;
    /** What it says after it was answered so a few times. */
    const answered = async (answer: JwksServer["answer"]): Promise<void> => {
      issuer.answer = answer;
      const { reads } = issuer;
      const look = (): void => {
        vi.advanceTimersByTime(1_000);
        expect(issuer.reads).toBeGreaterThan(reads + 3);
      };
      await vi.waitFor(look, { interval: 5, timeout: 20_000 });
    };
    const good = issuer.answer;
    await answered((response) => response.writeHead(500).end());
    expect([told("HTTP 500"), told("keys of tokens read")]).toEqual([1, 1]);
    await answered((response) => response.writeHead(502).end());
    expect([told("HTTP 500"), told("HTTP 502")]).toEqual([1, 1]);
    await answered(good);
    expect(told("keys of tokens read")).toBe(2);
    await answered((response) => response.writeHead(502).end());
    expect(told("HTTP 502")).toBe(2);
  });

  test("a stop ends the waiting", async () => {
    await issuer.stop();
    const opening = open({ BIMIP_JWKS_URL: issuer.url });
    const ended = expect(opening).rejects.toThrow("stopping");
    abort.abort(new Error("stopping"));
    await ended;
    await issuer.startAgain();
  });

  test("plain http to another machine is warned of, to this one not", async () => {
    await open({ BIMIP_JWKS_URL: issuer.url });
    expect(lines.join("")).not.toContain("over http");
    context = { ...context, metrics: createMetrics("gateway") };
    const opening = open({ BIMIP_JWKS_URL: "http://jwks.invalid/keys" });
    const ended = expect(opening).rejects.toThrow();
    await eventually("a warning", () => lines.join("").includes("over http"));
    abort.abort();
    await ended;
  });

  test("an address with a password in it is refused, and not repeated", () => {
    expect(() => readConfig({ BIMIP_JWKS_URL: "https://me:hunter2@a.example/" })).toThrow(
      /^(?!.*hunter2).*without user and password/,
    );
  });
});
