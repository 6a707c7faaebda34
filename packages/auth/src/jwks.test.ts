import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { eventually } from "../../../test/kit/eventually.js";
import { answerJson, JwksServer } from "../../../test/kit/jwks-server.js";
import { makeKey } from "../../../test/kit/token-keys.js";
import { createVerifier, issueToken, Jwks, type JwksOptions } from "./index.js";

const one = makeKey("RS256", "one");
const two = makeKey("ES256", "two");

let issuer: JwksServer;
const opened: Jwks[] = [];
let errors: string[];
let changes: boolean[];
beforeEach(async () => {
  issuer = await JwksServer.start(one.jwk);
  errors = [];
  changes = [];
});
afterEach(async () => {
  for (const jwks of opened.splice(0)) jwks.close();
  await issuer.stop();
});

function open(options: Partial<JwksOptions> = {}): Jwks {
  const jwks = new Jwks({
    url: issuer.url,
    refreshS: 3_600,
    keepS: 60,
    retryMs: () => 5,
    onRead: (_, changed) => changes.push(changed),
    onError: (error) => errors.push(error.message),
    ...options,
  });
  opened.push(jwks);
  return jwks;
}

const kids = ({ keys }: Jwks) => keys.map(({ kid }) => kid);

test("reads the set at once", async () => {
  const jwks = open();
  expect(jwks.keys).toEqual([]);
  await jwks.read;
  expect(kids(jwks)).toEqual(["one"]);
  expect(jwks.readAtMs).toBeGreaterThan(Date.now() - 60_000);
});

test("reads it in turn, and says whether it has changed", async () => {
  const jwks = open({ refreshS: 0.005 });
  await eventually("three readings", () => changes.length >= 3);
  expect(changes.slice(0, 3)).toEqual([true, false, false]);
  issuer.publish(one.jwk, two.jwk);
  await eventually("the second key", () => kids(jwks).includes("two"));
  expect(changes.filter(Boolean)).toHaveLength(2);
});

test("while the issuer is away it tries again, and what it knows stays", async () => {
  await issuer.stop();
  const jwks = open({ refreshS: 0.01 });
  await eventually("some tries", () => errors.length >= 3);
  expect(errors[0]).toBe("did not answer: ECONNREFUSED");
  await issuer.startAgain();
  await jwks.read;
  await issuer.stop();
  errors.length = 0;
  await eventually("some more", () => errors.length >= 3);
  expect(kids(jwks)).toEqual(["one"]);
  await issuer.startAgain();
});

test("a key that is gone is honoured for the time, its name too; a key that comes back stays", async () => {
  let nowMs = 1_000_000;
  const jwks = open({ refreshS: 0.005, nowMs: () => nowMs });
  await jwks.read;
  const verifier = createVerifier({ sources: [jwks], nowMs: () => nowMs });
  const token = await issueToken({ key: one, eid: "a", device: "d", nowMs });
  const readAgain = async () => {
    const before = changes.length;
    // One may have been answered before, and be read only now.
    await eventually("two readings", () => changes.length >= before + 2);
  };
  issuer.publish({ ...two.jwk, kid: "one" });
  await readAgain();
  expect(jwks.keys.map(({ algorithm }) => algorithm)).toEqual(["ES256", "RS256"]);
  nowMs += 59_999;
  await readAgain();
  expect(await verifier.verify(token)).toMatchObject({ eid: "a" });
  nowMs++;
  await expect(verifier.verify(token)).rejects.toThrow("kid: names a key that is not known");
  await readAgain();
  expect(jwks.keys).toHaveLength(1);
  issuer.publish(one.jwk);
  await readAgain();
  expect(await verifier.verify(token)).toMatchObject({ eid: "a" });
  nowMs += 3_600_000;
  await readAgain();
  expect(await verifier.verify(token)).toMatchObject({ eid: "a" });
});

test("with keepS 0 a key goes at once", async () => {
  const jwks = open({ refreshS: 0.005, keepS: 0 });
  await jwks.read;
  issuer.publish(two.jwk);
  await eventually("the other key alone", () => kids(jwks).join() === "two");
  issuer.publish();
  await eventually("none", () => jwks.keys.length === 0);
  expect(errors).toEqual([]);
});

describe("a token that names a key that is not known", () => {
  test("has the set read, and is good when the key is there", async () => {
    const jwks = open();
    await jwks.read;
    issuer.publish(one.jwk, two.jwk);
    const verifier = createVerifier({ sources: [jwks] });
    expect(await verifier.verify(await issueToken({ key: two, eid: "a", device: "d" }))).toMatchObject({ eid: "a" });
    expect(issuer.reads).toBe(2);
  });

  test("many at once share one reading; those that come after it cause none for the time", async () => {
    const jwks = open({ lookEveryMs: 60_000 });
    await jwks.read;
    const verifier = createVerifier({ sources: [jwks] });
    const tokens = await Promise.all(
      Array.from({ length: 200 }, (_, n) => issueToken({ key: makeKey("EdDSA", `new-${n}`), eid: "a", device: "d" })),
    );
    for (let round = 0; round < 3; round++) {
      const verdicts = await Promise.allSettled(tokens.map((token) => verifier.verify(token)));
      expect(verdicts.filter(({ status }) => status === "fulfilled")).toEqual([]);
    }
    expect(issuer.reads).toBe(2);
  });

  test("after that time it is read again", async () => {
    const jwks = open({ lookEveryMs: 1 });
    await jwks.read;
    await jwks.look();
    await eventually("it looks again", () => jwks.look() !== undefined);
    await eventually("a third reading", () => issuer.reads >= 3);
  });

  test("nobody looks for a secret", async () => {
    const jwks = open();
    await jwks.read;
    const token = await issueToken({ key: makeKey("HS256", "new"), eid: "a", device: "d" });
    await expect(createVerifier({ sources: [jwks] }).verify(token)).rejects.toThrow("kid: ");
    expect(issuer.reads).toBe(1);
  });

  test("the set cannot be read: 401, and the others go on", async () => {
    const jwks = open();
    await jwks.read;
    await issuer.stop();
    const verifier = createVerifier({ sources: [jwks] });
    await expect(verifier.verify(await issueToken({ key: two, eid: "a", device: "d" }))).rejects.toThrow("kid: ");
    expect(await verifier.verify(await issueToken({ key: one, eid: "a", device: "d" }))).toMatchObject({ eid: "a" });
    await issuer.startAgain();
  });
});

describe("a set that is not what it should be is refused, and the keys from before stay", () => {
  const privateJwk = makeKey("ES256").key.export({ format: "jwk" });
  const tenThousand = JSON.stringify({ keys: Array.from({ length: 10_000 }, () => ({ kty: "OKP" })) });
  const large = `{"keys":[],"x":"${"x".repeat(1_100_000)}"}`;

  test.each<[string, JwksServer["answer"], string]>([
    ["not JSON", (response) => response.end("<html>"), "answered with something that is not JSON"],
    ["nothing", (response) => response.end(), "answered with something that is not JSON"],
    ["another JSON", answerJson({ error: "x" }), "is not a JWKS: it has no list of keys"],
    ["HTTP 500", (response) => response.writeHead(500).end(), "answered with HTTP 500"],
    ["HTTP 404 with keys", (response) => response.writeHead(404).end('{"keys":[]}'), "answered with HTTP 404"],
    [
      "a redirect",
      (response) => response.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
      "answered with HTTP 302, and redirects are not followed",
    ],
    ["too large", (response) => response.end(large), "answered with more than 1048576 bytes"],
    [
      "too large when unpacked",
      (response) => response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(large)),
      "answered with more than 1048576 bytes",
    ],
    ["10,000 keys", (response) => response.end(tenThousand), "holds 10000 keys, at most 100 are taken"],
    ["a private key in it", answerJson({ keys: [one.jwk, privateJwk] }), "key 2: is a private key"],
    ["a secret in it", answerJson({ keys: [makeKey("HS256", "h").jwk] }), "key 1: is a secret"],
    [
      "cut off",
      (response) => response.writeHead(200, { "content-length": "99" }).write("{") && response.destroy(),
      "did not answer",
    ],
  ])("%s", async (_, answer, why) => {
    await refuses(answer, why, 5_000);
  });

  test.each<[string, JwksServer["answer"]]>([
    ["silence", () => undefined],
    ["a header without a body", (response) => response.flushHeaders()],
    ["no end", (response) => void response.write('{"keys":[')],
  ])("%s", async (_, answer) => {
    await refuses(answer, "did not answer within 300 ms", 300);
  });

  async function refuses(answer: JwksServer["answer"], why: string, timeoutMs: number): Promise<void> {
    const jwks = open({ limits: { timeoutMs, maxBytes: 1_048_576 } });
    await jwks.read;
    errors.length = 0;
    issuer.answer = answer;
    await jwks.look();
    expect(errors[0]).toMatch(why);
    expect(kids(jwks)).toEqual(["one"]);
    issuer.publish(two.jwk);
    await eventually("it is read again", () => kids(jwks).join() === "two,one");
  }
});

test("closed, it reads no more, and nobody waits", async () => {
  issuer.answer = () => undefined;
  const jwks = open({ refreshS: 0.001 });
  await eventually("a question", () => issuer.reads === 1);
  jwks.close();
  await jwks.read;
  expect(jwks.keys).toEqual([]);
});
