import { createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { importJWK, jwtVerify } from "jose";
import { describe, expect, test } from "vitest";
import { hmac, makeKey, rawToken, signerOf, type TestKey } from "../../../test/kit/token-keys.js";
import { ALGORITHMS, type Algorithm, createVerifier, issueToken } from "./index.js";

const keys: Record<Algorithm, TestKey> = {
  HS256: makeKey("HS256"),
  RS256: makeKey("RS256"),
  ES256: makeKey("ES256"),
  EdDSA: makeKey("EdDSA"),
};
const all = createVerifier({ sources: [{ keys: ALGORITHMS.map((algorithm) => keys[algorithm].verification) }] });
const alice = { sub: "alice@example.com", device_id: "phone" };

const refusalOf = (token: string): Promise<unknown> =>
  all.verify(token).then(
    () => "let in",
    (error: Error) => error.message,
  );

describe.each(ALGORITHMS)("%s", (algorithm) => {
  const key = keys[algorithm];

  test("what is issued verifies, here and in jose", async () => {
    const token = await issueToken({ key, eid: "a@x", device: "phone" });
    expect(await all.verify(token)).toMatchObject({ eid: "a@x", device: "phone" });
    const { protectedHeader } = await jwtVerify(token, await importJWK(key.jwk as Record<string, unknown>, algorithm));
    expect(protectedHeader).toEqual({ alg: algorithm, typ: "JWT" });
  });

  test("its tokens are answered within the turn", async () => {
    const token = await issueToken({ key, eid: "a@x", device: "phone" });
    let claims: unknown;
    void all.verify(token).then((verified) => {
      claims = verified;
    });
    // Microtasks, which uWebSockets.js runs before its upgrade handler ends; no timer, no I/O.
    for (let n = 0; n < 5; n++) await Promise.resolve();
    expect(claims).toMatchObject({ eid: "a@x" });
  });

  test.each(ALGORITHMS.filter((other) => other !== algorithm))("signs no token that says %s", async (other) => {
    const token = rawToken({ alg: other }, alice, signerOf(key));
    expect(await refusalOf(token)).toBe("token: its signature does not fit");
  });

  test("another key of the kind does not fit", async () => {
    const token = rawToken({ alg: algorithm }, alice, signerOf(makeKey(algorithm)));
    expect(await refusalOf(token)).toBe("token: its signature does not fit");
  });

  test("a byte of the signature more, less, or another", async () => {
    const signer = signerOf(key);
    const bytes = (change: (signature: Buffer) => Uint8Array) =>
      refusalOf(rawToken({ alg: algorithm }, alice, (input) => change(Buffer.from(signer(input)))));
    expect(await bytes((signature) => signature)).toBe("let in");
    for (const change of [
      (signature: Buffer) => signature.subarray(1),
      (signature: Buffer) => signature.subarray(0, -1),
      (signature: Buffer) => Buffer.concat([signature, Buffer.alloc(1)]),
      (signature: Buffer) => Buffer.concat([Buffer.alloc(1), signature]),
      (signature: Buffer) => signature.map((byte, at) => (at === 7 ? byte ^ 1 : byte)),
      (signature: Buffer) => signature.fill(0),
      () => Buffer.alloc(0),
    ]) {
      expect(await bytes(change)).toBe("token: its signature does not fit");
    }
  });

  test("is refused where it is not allowed, and where no key is there for it", async () => {
    const token = await issueToken({ key, eid: "a@x", device: "phone" });
    const others = ALGORITHMS.filter((other) => other !== algorithm);
    const source = { keys: [key.verification] };
    await expect(createVerifier({ sources: [source], algorithms: others }).verify(token)).rejects.toThrow(
      `alg: is not ${others.join(", ")}`,
    );
    await expect(createVerifier({ sources: [{ keys: [] }] }).verify(token)).rejects.toThrow(
      "alg: is one that no key is there for",
    );
  });
});

describe("a public key is no secret", () => {
  const spki = (key: TestKey, format: "pem" | "der") => key.verificationKey.export({ type: "spki", format });
  test.each(["RS256", "ES256", "EdDSA"] as const)("%s", async (algorithm) => {
    const key = keys[algorithm];
    const pem = String(spki(key, "pem"));
    const secrets: (string | Buffer)[] = [pem, pem.trim(), `${pem}\n`, pem.replaceAll("\n", "\r\n"), spki(key, "der")];
    secrets.push(JSON.stringify(key.jwk), key.jwk.x ?? "", key.jwk.n ?? "", Buffer.from(key.jwk.n ?? "", "base64url"));
    for (const secret of secrets) {
      expect(await refusalOf(rawToken({ alg: "HS256" }, alice, hmac(secret)))).toBe(
        "token: its signature does not fit",
      );
    }
  });
});

describe("elliptic signatures", () => {
  test("in DER", async () => {
    const { key } = keys.ES256;
    const token = rawToken({ alg: "ES256" }, alice, (input) => sign("sha256", Buffer.from(input), key));
    expect(await refusalOf(token)).toBe("token: its signature does not fit");
  });

  test.each<[string, string, string]>([
    ["0 and 0", "00", "00"],
    ["0 and 1", "00", "01"],
    ["1 and 0", "01", "00"],
    ["n and n", "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", "ff"],
  ])("r and s are %s", async (_, r, s) => {
    const signature = Buffer.from(r.padStart(64, "0") + s.padStart(64, "0"), "hex");
    expect(signature).toHaveLength(64);
    expect(await refusalOf(rawToken({ alg: "ES256" }, alice, () => signature))).toBe(
      "token: its signature does not fit",
    );
  });

  test("of another curve", async () => {
    const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "secp256k1" });
    const token = rawToken({ alg: "ES256" }, alice, signerOf({ algorithm: "ES256", key }));
    expect(await refusalOf(token)).toBe("token: its signature does not fit");
  });

  test("of Ed448", async () => {
    const { privateKey: key } = generateKeyPairSync("ed448");
    expect(await refusalOf(rawToken({ alg: "EdDSA" }, alice, signerOf({ algorithm: "EdDSA", key })))).toBe(
      "token: its signature does not fit",
    );
  });
});

test("RSA signatures: PSS, and another hash", async () => {
  const { key } = keys.RS256;
  expect(createPublicKey(key).asymmetricKeyType).toBe("rsa");
  const padded = rawToken({ alg: "RS256" }, alice, (input) =>
    // RSA_PKCS1_PSS_PADDING
    sign("sha256", Buffer.from(input), { key, padding: 6, saltLength: 32 }),
  );
  expect(await refusalOf(padded)).toBe("token: its signature does not fit");
  const longer = rawToken({ alg: "RS256" }, alice, (input) => sign("sha512", Buffer.from(input), key));
  expect(await refusalOf(longer)).toBe("token: its signature does not fit");
  expect(await refusalOf(rawToken({ alg: "PS256" }, alice, signerOf(keys.RS256)))).toMatch(/^alg: is not /);
});
