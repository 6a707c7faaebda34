// Keys of an issuer that change while a gateway runs, and an issuer that does not behave.
import { issueToken } from "@bimip/auth";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { answerJson, JwksServer } from "../kit/jwks-server.js";
import { startSystem, type System } from "../kit/system.js";
import { makeKey, type TestKey } from "../kit/token-keys.js";

const REFRESH_S = 5;
const KEEP_S = 3;

const first = makeKey("RS256", "2026-01");
const second = makeKey("ES256", "2026-02");
const third = makeKey("EdDSA", "2026-03");

let issuer: JwksServer;
let system: System;
const lines: string[] = [];
const devices: Device[] = [];
beforeAll(async () => {
  issuer = await JwksServer.start(first.jwk);
  system = await startSystem({
    env: {
      BIMIP_JWKS_URL: issuer.url,
      BIMIP_JWKS_REFRESH_S: String(REFRESH_S),
      BIMIP_JWKS_KEEP_S: String(KEEP_S),
      BIMIP_RATE_CONNECTS: "off",
    },
    onLog: (line) => lines.push(line),
  });
});
afterEach(() => {
  for (const device of devices.splice(0)) device.socket.terminate();
});
afterAll(async () => {
  await system.stop();
  await issuer.stop();
});

/** "let in", or why not. */
async function connect(key: TestKey): Promise<string> {
  const token = await issueToken({ key, eid: "a@x", device: "phone" });
  try {
    devices.push(await Device.open(system.urls[0] ?? "", { token }));
    return "let in";
  } catch (error) {
    return (error as Error).message;
  }
}

const UNKNOWN = "401: kid: names a key that is not known";

test("a new key is known without a restart; the old one is honoured for the time, then no more", async () => {
  expect(await connect(first)).toBe("let in");
  expect(await connect(second)).toBe(UNKNOWN);
  issuer.publish(second.jwk);
  // Looked for just now, so it is not looked for again: it comes with the reading in turn.
  await eventually("the new key", async () => (await connect(second)) === "let in");
  const gone = performance.now();
  expect(await connect(first)).toBe("let in");
  await eventually("the old key's end", async () => (await connect(first)) === UNKNOWN);
  // The set was read a moment before the new key was seen to work.
  expect(performance.now() - gone).toBeGreaterThan((KEEP_S - 1) * 1_000);
  expect(await connect(second)).toBe("let in");
});

test("a flood of names that nobody has: at most one reading for them in ten seconds", async () => {
  // The budget of the time before is used up after this.
  await connect(makeKey("ES256", "flood"));
  const begin = performance.now();
  const before = issuer.reads;
  let refused = 0;
  for (let round = 0; round < 10; round++) {
    const keys = Array.from({ length: 30 }, (_, n) => makeKey("EdDSA", `flood-${round}-${n}`));
    const answers = await Promise.all(keys.map((key) => connect(key)));
    refused += answers.filter((answer) => answer === UNKNOWN).length;
  }
  expect(refused).toBe(300);
  const seconds = (performance.now() - begin) / 1_000;
  const inTurn = Math.ceil(seconds / REFRESH_S);
  expect(issuer.reads - before).toBeLessThanOrEqual(inTurn + Math.ceil(seconds / 10));
  expect(await connect(second)).toBe("let in");
});

const privateJwk = third.key.export({ format: "jwk" });
const manyKeys = Array.from({ length: 10_000 }, (_, n) => ({ kty: "OKP", kid: String(n) }));
const hostile: [string, JwksServer["answer"], string][] = [
  ["no JSON", (response) => response.end("<html>hunter2</html>"), "answered with something that is not JSON"],
  ["2 MiB", (response) => response.end(Buffer.alloc(2_097_152, "x")), "answered with more than 1048576 bytes"],
  ["10,000 keys", answerJson({ keys: manyKeys }), "holds 10000 keys, at most 100 are taken"],
  ["a private key", answerJson({ keys: [third.jwk, privateJwk] }), "key 2: is a private key"],
  ["an answer without an end", (response) => void response.write('{"keys":['), "did not answer within 5000 ms"],
];

test.each(hostile)(
  "the issuer answers with %s: told in the log, and the keys from before stay",
  async (_, answer, why) => {
    lines.length = 0;
    issuer.answer = answer;
    const told = () => lines.find((line) => line.includes("keys of tokens not read, those from before stay"));
    const line = await eventually("a line in the log", told);
    expect(JSON.parse(line)).toMatchObject({ level: "error", setting: "BIMIP_JWKS_URL" });
    expect(line).toContain(why);
    expect(line).not.toContain("hunter2");
    expect(line).not.toContain(privateJwk.d);
    expect(await connect(second)).toBe("let in");
    expect(await connect(third)).toBe(UNKNOWN);
  },
);

test("the issuer is away: known keys go on, and when it is back new ones are known", async () => {
  await issuer.stop();
  lines.length = 0;
  await eventually("a line in the log", () => lines.find((line) => line.includes("did not answer: ECONNREFUSED")));
  expect(await connect(second)).toBe("let in");
  issuer.publish(second.jwk, third.jwk);
  await issuer.startAgain();
  await eventually("the new key", async () => (await connect(third)) === "let in");
  expect(await system.metrics()).toMatch(/bimip_gateway_token_keys\{[^}]*\} 2/);
});
