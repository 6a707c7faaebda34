import { createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import { AuthError, createVerifier } from "./index.js";

const secret = "a secret of more than thirty-two bytes";
const nowS = 1_700_000_000;
const verifier = createVerifier({ secret, nowMs: () => nowS * 1_000 });

const base64 = (content: string | Uint8Array) => Buffer.from(content).toString("base64url");

/** Signs any bytes as a token, also those that no JWT library would make. */
function sign(payload: unknown, options: { header?: unknown; key?: string; hash?: string } = {}): string {
  const content = payload instanceof Uint8Array || typeof payload === "string" ? payload : JSON.stringify(payload);
  const input = `${base64(JSON.stringify(options.header ?? { alg: "HS256", typ: "JWT" }))}.${base64(content)}`;
  const signature = createHmac(options.hash ?? "sha256", options.key ?? secret).update(input);
  return `${input}.${signature.digest("base64url")}`;
}

const alice = { sub: "alice@example.com", device_id: "phone" };

describe("good tokens", () => {
  const good: [string, string, { device?: string }, Record<string, unknown>][] = [
    ["sub as the EID", sign(alice), {}, { eid: "alice@example.com", device: "phone" }],
    ["eid as the EID", sign({ eid: "a", device_id: "d" }), {}, { eid: "a", device: "d" }],
    ["eid and sub that are equal", sign({ eid: "a", sub: "a", device_id: "d" }), {}, { eid: "a" }],
    ["device asked for, none in the token", sign({ sub: "a" }), { device: "web" }, { device: "web" }],
    ["device asked for and equal", sign(alice), { device: "phone" }, { device: "phone" }],
    ["no exp", sign(alice), {}, { expiresAtMs: undefined, jti: undefined, name: undefined }],
    ["exp one second ahead", sign({ ...alice, exp: nowS + 1 }), {}, { expiresAtMs: (nowS + 1) * 1_000 }],
    ["exp with a fraction", sign({ ...alice, exp: nowS + 0.5 }), {}, { expiresAtMs: nowS * 1_000 + 500 }],
    ["exp beyond all numbers", sign({ ...alice, exp: 1e300 }), {}, { expiresAtMs: Number.MAX_SAFE_INTEGER }],
    ["nbf within the skew", sign({ ...alice, nbf: nowS + 5 }), {}, { eid: "alice@example.com" }],
    ["iat within the skew", sign({ ...alice, iat: nowS + 5 }), {}, { eid: "alice@example.com" }],
    ["scopes", sign({ ...alice, scope: " push  no-copy" }), {}, { scopes: new Set(["push", "no-copy"]) }],
    ["no scope", sign(alice), {}, { scopes: new Set() }],
    ["jti and name", sign({ ...alice, jti: "j", name: "Älice 🙂" }), {}, { jti: "j", name: "Älice 🙂" }],
    ["an empty name", sign({ ...alice, name: "" }), {}, { name: undefined }],
    ["255 bytes of EID", sign({ ...alice, sub: "ü".repeat(127) + "x" }), {}, { eid: "ü".repeat(127) + "x" }],
    ["128 bytes of device", sign({ ...alice, device_id: "d".repeat(128) }), {}, { device: "d".repeat(128) }],
    ...["a.b", "*", ">", "$SYS", "a b", "ünïcode@x", "🙂"].map(
      (eid): [string, string, { device?: string }, Record<string, unknown>] => [
        `EID ${eid}`,
        sign({ eid, device_id: eid }),
        {},
        { eid, device: eid },
      ],
    ),
  ];

  test.each(good)("%s", async (_, token, options, expected) => {
    expect(await verifier.verify(token, options)).toMatchObject(expected);
  });

  test("the secret may be bytes", async () => {
    const fromBytes = createVerifier({ secret: new TextEncoder().encode(secret) });
    expect(await fromBytes.verify(sign(alice))).toMatchObject({ eid: "alice@example.com" });
  });
});

describe("bad tokens are refused with 401, naming the claim", () => {
  const parts = sign(alice).split(".");
  const unsigned = `${base64('{"alg":"none"}')}.${parts[1]}.`;
  const bad: [string, string, string, { device?: string }?][] = [
    ["empty", "", "token"],
    ["not a JWT", "abc", "token"],
    ["two parts", `${parts[0]}.${parts[1]}`, "token"],
    ["five parts (encrypted)", "a.b.c.d.e", "token"],
    ["a blank in it", sign(alice).replace(".", ". "), "token"],
    ["too long", sign({ ...alice, name: "x".repeat(20_000) }), "token"],
    ["another key", sign(alice, { key: "another secret of thirty-two bytes and more" }), "token"],
    ["no signature", `${parts[0]}.${parts[1]}.`, "token"],
    ["another payload", `${parts[0]}.${base64('{"sub":"bob","device_id":"d"}')}.${parts[2]}`, "token"],
    ["alg none", unsigned, "alg"],
    ["alg None", sign(alice, { header: { alg: "None" } }), "alg"],
    ["alg RS256 signed with the secret", sign(alice, { header: { alg: "RS256" } }), "alg"],
    ["alg HS512", sign(alice, { header: { alg: "HS512" }, hash: "sha512" }), "alg"],
    ["no alg", sign(alice, { header: {} }), "alg"],
    ["crit", sign(alice, { header: { alg: "HS256", crit: ["b64"], b64: false } }), "crit"],
    ["header that is no object", sign(alice, { header: "HS256" }), "token"],
    ["payload that is no JSON", sign("hello"), "token"],
    ["payload that is an array", sign([alice]), "token"],
    ["payload that is null", sign("null"), "token"],
    ["invalid UTF-8", sign(Buffer.from('{"sub":"a\xff","device_id":"d"}', "latin1")), "token"],
    ["lone surrogate in eid", sign('{"eid":"a\\ud800","device_id":"d"}'), "eid"],
    ["lone surrogate in name", sign('{"eid":"a","device_id":"d","name":"\\udc00"}'), "name"],
    ["lone surrogate deep inside", sign('{"eid":"a","device_id":"d","x":[{"y":"\\udc00"}]}'), "y"],
    ["lone surrogate in a key", sign('{"eid":"a","device_id":"d","\\udc00":1}'), "token"],
    ["no EID", sign({ device_id: "d" }), "eid"],
    ["empty EID", sign({ eid: "", device_id: "d" }), "eid"],
    ["empty sub", sign({ sub: "", device_id: "d" }), "sub"],
    ["eid and sub that differ", sign({ eid: "a", sub: "b", device_id: "d" }), "eid"],
    ["eid that is a number", sign({ eid: 7, device_id: "d" }), "eid"],
    ["sub that is null", sign({ sub: null, device_id: "d" }), "sub"],
    ["256 bytes of EID", sign({ eid: "ü".repeat(128), device_id: "d" }), "eid"],
    ["C0 in the EID", sign({ eid: "a\nb", device_id: "d" }), "eid"],
    ["DEL in the EID", sign({ eid: "a\u007f", device_id: "d" }), "eid"],
    ["C1 in sub", sign({ sub: "a\u0085", device_id: "d" }), "sub"],
    ["no device anywhere", sign({ sub: "a" }), "device_id"],
    ["empty device", sign({ sub: "a", device_id: "" }), "device_id"],
    ["empty device asked for", sign({ sub: "a" }), "device", { device: "" }],
    ["lone surrogate in the device asked for", sign({ sub: "a" }), "device", { device: "\ud800" }],
    ["another device asked for", sign(alice), "device_id", { device: "tablet" }],
    ["129 bytes of device", sign({ sub: "a", device_id: "d".repeat(129) }), "device_id"],
    ["NUL in the device", sign({ sub: "a", device_id: "d\0" }), "device_id"],
    ["expired just now", sign({ ...alice, exp: nowS }), "exp"],
    ["exp that is a text", sign({ ...alice, exp: String(nowS + 60) }), "exp"],
    ["nbf beyond the skew", sign({ ...alice, nbf: nowS + 6 }), "nbf"],
    ["iat beyond the skew", sign({ ...alice, iat: nowS + 6 }), "iat"],
    ["scope that is a list", sign({ ...alice, scope: ["push"] }), "scope"],
    ["jti that is a number", sign({ ...alice, jti: 1 }), "jti"],
    ["name that is an object", sign({ ...alice, name: {} }), "name"],
    ["claims in __proto__ only", sign('{"__proto__":{"eid":"a","device_id":"d"}}'), "eid"],
  ];

  test.each(bad)("%s", async (_, token, field, options = {}) => {
    const error: unknown = await verifier.verify(token, options).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(AuthError);
    expect(error).toMatchObject({ code: 401, field });
    // It goes into HTTP bodies and close reasons: short, ASCII, none of the token's values.
    expect(error).toHaveProperty("message", expect.stringMatching(new RegExp(`^${field}: [ -~]{1,90}$`)));
  });

  test("nested so deeply that no parser likes it", async () => {
    const token = sign(`{"eid":"a","device_id":"d","x":${"[".repeat(6_000)}${"]".repeat(6_000)}}`);
    // Read or refused, either is right; any other error would become a 500.
    const outcome = await verifier.verify(token).then(
      ({ eid }) => eid,
      (thrown: unknown) => (thrown instanceof AuthError ? "a" : thrown),
    );
    expect(outcome).toBe("a");
  });
});

test("a secret that is too short is refused at once", () => {
  expect(() => createVerifier({ secret: "short" })).toThrow(RangeError);
});
