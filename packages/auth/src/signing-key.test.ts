import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeKey } from "../../../test/kit/token-keys.js";
import { createVerifier, issueToken, loadSigningKey } from "./index.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bimip-signing-"));
});
afterAll(() => rm(folder, { recursive: true }));

let files = 0;
async function load(content: string) {
  const path = join(folder, `key-${++files}`);
  await writeFile(path, content);
  return loadSigningKey(path);
}

const pem = (key: KeyObject, type: "pkcs8" | "pkcs1" | "sec1" = "pkcs8") => String(key.export({ type, format: "pem" }));
const jwk = (key: KeyObject, more: object = {}) => JSON.stringify({ ...key.export({ format: "jwk" }), ...more });
const hs = makeKey("HS256").key;
const rs = makeKey("RS256").key;
const es = makeKey("ES256").key;
const ed = makeKey("EdDSA").key;
const text = "a text of more than thirty-two bytes";

test.each<[string, string, string, string | undefined]>([
  ["RSA", pem(rs), "RS256", undefined],
  ["RSA in its own form", pem(rs, "pkcs1"), "RS256", undefined],
  ["P-256", pem(es), "ES256", undefined],
  ["P-256 in its own form, with a blank line", `\n${pem(es, "sec1")}\n`, "ES256", undefined],
  ["Ed25519", pem(ed), "EdDSA", undefined],
  ["a JWK", jwk(rs, { kid: "k", use: "sig", alg: "RS256" }), "RS256", "k"],
  ["a JWK without a name", jwk(ed), "EdDSA", undefined],
  ["a JWK that may sign", jwk(es, { key_ops: ["sign"] }), "ES256", undefined],
  ["a secret as a JWK", jwk(hs, { kid: "h" }), "HS256", "h"],
  ["a text", `${text}\n`, "HS256", undefined],
])("%s", async (_, content, algorithm, kid) => {
  const key = await load(content);
  expect(key).toMatchObject({ algorithm, kid });
  const token = await issueToken({ key, eid: "a@x", device: "d", issuer: "me", audience: "you", nowMs: Date.now() });
  const sources = [{ keys: [{ algorithm: key.algorithm, kid, key: key.verificationKey }] }];
  const verifier = createVerifier({ sources, issuers: ["me"], audiences: ["you"] });
  expect(await verifier.verify(token)).toMatchObject({ eid: "a@x" });
});

test("white space around a text is not part of the secret", async () => {
  const token = await issueToken({ key: await load(`${text}\n`), eid: "a", device: "d" });
  expect(await createVerifier({ secret: text }).verify(token)).toMatchObject({ eid: "a" });
});

describe("refused, naming the file and nothing of it", () => {
  test.each<[string, string, string]>([
    ["a public key", pem(rs).replaceAll("PRIVATE", "PUBLIC"), "holds no private key that can be read"],
    ["a public JWK", JSON.stringify(makeKey("ES256").jwk), "is not a key that can be read"],
    ["a short text", "hunter2", "the secret has 7 bytes, at least 32 are needed"],
    ["nothing", "", "the secret has 0 bytes"],
    ["broken JSON", '{"k":"hunter2"', "is not JSON"],
    ["a JWKS", '{"keys":[]}', "is not a key that can be read"],
    [
      "a short RSA key",
      pem(generateKeyPairSync("rsa", { modulusLength: 1_024 }).privateKey),
      "at least 2048 are needed",
    ],
    ["P-384", pem(generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey), "is not on the curve P-256"],
    ["a JWK for encryption", jwk(rs, { use: "enc" }), "use: is not sig"],
    ["a JWK of another algorithm", jwk(rs, { alg: "PS256" }), "alg: is not RS256"],
    [
      "a key behind a passphrase",
      String(rs.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "hunter2" })),
      "with a passphrase",
    ],
  ])("%s", async (_, content, why) => {
    const loading = load(content);
    await expect(loading).rejects.toThrow(join(folder, `key-${files}: `));
    await expect(loading).rejects.toThrow(why);
    await expect(loading).rejects.not.toThrow("hunter2");
  });

  test("a file that is not there", async () => {
    await expect(loadSigningKey(join(folder, "none"))).rejects.toThrow("ENOENT");
  });
});
