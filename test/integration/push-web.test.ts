// Web push: the real router against a push service of our own on 127.0.0.1, which checks VAPID and decrypts.
import { createDecipheriv, createECDH, createPublicKey, hkdfSync, randomBytes, verify } from "node:crypto";
import { call, PROCEDURES } from "@bimip/nats";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import webPush from "web-push";
import { eventually } from "../kit/eventually.js";
import { HttpReceiver, type ReceivedCall } from "../kit/http-receiver.js";
import { type PushSystem, startPushSystem } from "../kit/push-system.js";

const vapid = webPush.generateVAPIDKeys();
const SUBJECT = "mailto:ops@example.com";

let push: PushSystem;
let service: HttpReceiver;
let webhook: HttpReceiver;
const env = () => ({
  BIMIP_VAPID_SUBJECT: SUBJECT,
  BIMIP_VAPID_PUBLIC_KEY: vapid.publicKey,
  BIMIP_VAPID_PRIVATE_KEY: vapid.privateKey,
  BIMIP_WEBPUSH_HOSTS: service.url,
});
beforeAll(async () => {
  push = await startPushSystem();
});
afterAll(() => push.stop());
beforeEach(async () => {
  service = await HttpReceiver.start();
  service.answer = () => ({ status: 201 });
  webhook = await HttpReceiver.start();
});
afterEach(async () => {
  await push.stopRouters();
  await service.stop();
  await webhook.stop();
});

/** A browser: its keys, and the subscription it would hand to the app. */
class Browser {
  readonly #keys = createECDH("prime256v1");
  readonly #auth = randomBytes(16);
  readonly subscription: string;

  constructor(endpoint: string) {
    const keys = { p256dh: this.#keys.generateKeys("base64url"), auth: this.#auth.toString("base64url") };
    this.subscription = JSON.stringify({ endpoint, keys });
  }

  /** RFC 8291 and RFC 8188, one record. */
  decrypt(body: Buffer): unknown {
    const salt = body.subarray(0, 16);
    const keyLength = body[20] ?? 0;
    const senderKey = body.subarray(21, 21 + keyLength);
    const record = body.subarray(21 + keyLength);
    const hkdf = (key: Buffer, from: Buffer, info: Buffer | string, length: number): Buffer =>
      Buffer.from(hkdfSync("sha256", key, from, info, length));
    const info = Buffer.concat([Buffer.from("WebPush: info\0"), this.#keys.getPublicKey(), senderKey]);
    const key = hkdf(this.#keys.computeSecret(senderKey), this.#auth, info, 32);
    const cipher = createDecipheriv(
      "aes-128-gcm",
      hkdf(key, salt, "Content-Encoding: aes128gcm\0", 16),
      hkdf(key, salt, "Content-Encoding: nonce\0", 12),
    );
    cipher.setAuthTag(record.subarray(-16));
    const padded = Buffer.concat([cipher.update(record.subarray(0, -16)), cipher.final()]);
    return JSON.parse(padded.subarray(0, padded.lastIndexOf(2)).toString());
  }
}

/** The claims of the call's VAPID token, after its signature was checked (RFC 8292). */
function vapidClaims({ headers }: ReceivedCall): unknown {
  const [, token = "", key = ""] = /^vapid t=([^,]+), ?k=(.+)$/.exec(headers.authorization ?? "") ?? [];
  expect(key).toBe(vapid.publicKey);
  const [head = "", claims = "", signature = ""] = token.split(".");
  const point = Buffer.from(key, "base64url");
  const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((half) => half.toString("base64url"));
  const jwk = { kty: "EC", crv: "P-256", x: x ?? "", y: y ?? "" };
  const publicKey = { key: createPublicKey({ key: jwk, format: "jwk" }), dsaEncoding: "ieee-p1363" as const };
  expect(verify("sha256", Buffer.from(`${head}.${claims}`), publicKey, Buffer.from(signature, "base64url"))).toBe(true);
  return JSON.parse(Buffer.from(claims, "base64url").toString());
}

async function subscribe(eid: string, device: string, subscription: string): Promise<void> {
  // It was there, at least once.
  const resume = { eid, device, after: 0n, timestamp: BigInt(Date.now()) };
  await call(push.link.nc, PROCEDURES.resume, resume, 2_000);
  await call(push.link.nc, PROCEDURES.subscription, { eid, device, subscription }, 2_000);
}

async function subscriptionsOf(eid: string): Promise<string[]> {
  const { subscriptions } = await call(push.link.nc, PROCEDURES.pushState, { eid }, 2_000);
  return subscriptions.map(({ device }) => device);
}

test("an offline user's browser gets the message, encrypted, once; text that does not fit is left out", async () => {
  await push.router(env());
  const browser = new Browser(`${service.url}/send/1`);
  await subscribe("b-web@x", "browser", browser.subscription);
  const alice = await push.system.device("a-web@x", "phone");
  const to = { eid: "b-web@x" };
  await alice.messageSent({ id: "m1", to, type: "text", payload: { data: { text: "hello" } } });
  await alice.messageSent({ id: "m2", to, type: "text", payload: { data: { text: "long ".repeat(1_000) } } });
  await eventually("two pushes", () => service.calls.length >= 2);
  await push.quiet();
  expect(service.calls.map(({ path }) => path)).toEqual(["/send/1", "/send/1"]);
  for (const request of service.calls) {
    expect(vapidClaims(request)).toMatchObject({ aud: service.url, sub: SUBJECT });
    expect(request.headers["content-encoding"]).toBe("aes128gcm");
    expect(Number(request.headers["ttl"])).toBeGreaterThan(0);
    expect(request.body.length).toBeLessThan(4_096);
    expect(request.body.includes("hello")).toBe(false);
  }
  const [first, second] = service.calls.map(({ body }) => browser.decrypt(body));
  expect(first).toEqual({
    id: expect.any(String),
    from: "a-web@x",
    kind: "message",
    badge: expect.any(Number),
    type: "text",
    text: "hello",
  });
  expect(second).not.toHaveProperty("text");
  expect(second).toMatchObject({ badge: 2, type: "text" });
});

test("410 and 404 remove the subscription; others of the user go on", async () => {
  await push.router(env());
  const alive = new Browser(`${service.url}/alive`);
  for (const path of ["410", "404"]) {
    await subscribe("b-gone@x", path, new Browser(`${service.url}/${path}`).subscription);
  }
  await subscribe("b-gone@x", "alive", alive.subscription);
  service.answer = ({ path }) => ({ status: path === "/alive" ? 201 : Number(path.slice(1)) });
  const alice = await push.system.device("a-gone@x", "phone");
  for (const id of ["m1", "m2"]) await alice.messageSent({ id, to: { eid: "b-gone@x" } });
  await eventually("two for the living", () => service.calls.filter(({ path }) => path === "/alive").length >= 2);
  await push.quiet();
  expect(await subscriptionsOf("b-gone@x")).toEqual(["alive"]);
  expect(service.calls.map(({ path }) => path).sort()).toEqual(["/404", "/410", "/alive", "/alive"]);
});

test("a browser that subscribed anew while its old endpoint was called is not forgotten; one endpoint is called once", async () => {
  await push.router(env());
  service.answer = ({ path }) => (path === "/old" ? { status: 410, afterMs: 700 } : { status: 201 });
  await subscribe("b-anew@x", "browser", new Browser(`${service.url}/old`).subscription);
  const alice = await push.system.device("a-anew@x", "phone");
  await alice.messageSent({ id: "m1", to: { eid: "b-anew@x" } });
  await eventually("the old endpoint is called", () => service.calls.length >= 1);
  const { subscription } = new Browser(`${service.url}/new`);
  for (const device of ["browser", "same browser"]) await subscribe("b-anew@x", device, subscription);
  await subscribe("b-anew@x", "browser", subscription);
  await push.quiet();
  expect(await subscriptionsOf("b-anew@x")).toEqual(["browser"]);
  await alice.messageSent({ id: "m2", to: { eid: "b-anew@x" } });
  await eventually("the new endpoint is called", () => service.calls.length >= 2);
  await push.quiet();
  expect(service.calls.map(({ path }) => path)).toEqual(["/old", "/new"]);
});

test("beside a webhook: a browser that asks to be left alone for long does not hold up the user's next messages", async () => {
  await push.router({ ...env(), BIMIP_PUSH_WEBHOOK_URL: webhook.url });
  service.answer = () => ({ status: 429, headers: { "retry-after": "3600" } });
  await subscribe("b-429@x", "browser", new Browser(`${service.url}/1`).subscription);
  const alice = await push.system.device("a-429@x", "phone");
  for (const id of ["m1", "m2"]) await alice.messageSent({ id, to: { eid: "b-429@x" } });
  await webhook.count("b-429@x", 2);
  await push.quiet();
  expect(service.calls.length).toBe(2);
});

test("beside a webhook: a browser's failure is repeated without calling the webhook again", async () => {
  const router = await push.router({ ...env(), BIMIP_PUSH_WEBHOOK_URL: webhook.url });
  await subscribe("b-both@x", "browser", new Browser(`${service.url}/1`).subscription);
  let calls = 0;
  service.answer = () => ({ status: ++calls <= 2 ? 500 : 201 });
  const alice = await push.system.device("a-both@x", "phone");
  await alice.messageSent({ id: "m1", to: { eid: "b-both@x" } });
  await eventually("the browser's push", () => service.calls.length >= 3);
  await push.quiet();
  expect(webhook.calls.length).toBe(1);
  expect(service.calls.length).toBe(3);
  expect(await router.metrics.text()).toContain('{provider="web_push",outcome="ok",service="router"} 1');
});

test("a subscription at a host that is not allowed, or at http, is never called", async () => {
  const forbidden = await HttpReceiver.start();
  const router = await push.router({ ...env(), BIMIP_WEBPUSH_HOSTS: "127.0.0.1,localhost,*.example.com" });
  await subscribe("b-host@x", "browser", new Browser(`${forbidden.url}/1`).subscription);
  const alice = await push.system.device("a-host@x", "phone");
  await alice.messageSent({ id: "m1", to: { eid: "b-host@x" } });
  await eventually("a refusal", async () => {
    return (await router.metrics.text()).includes('{provider="web_push",outcome="refused",service="router"} 1');
  });
  await push.quiet();
  expect(forbidden.calls).toEqual([]);
  await forbidden.stop();
});

test("with web push alone, who has no subscription is not pushed to, and not later for what is old by then", async () => {
  await push.router(env());
  const alice = await push.system.device("a-none@x", "phone");
  await alice.messageSent({ id: "old", to: { eid: "b-none@x" }, type: "old" });
  await push.quiet();
  const browser = new Browser(`${service.url}/1`);
  await subscribe("b-none@x", "browser", browser.subscription);
  await alice.messageSent({ id: "new", to: { eid: "b-none@x" }, type: "new" });
  await eventually("the new one", () => service.calls.length >= 1);
  await push.quiet();
  expect(service.calls.map(({ body }) => browser.decrypt(body))).toMatchObject([{ type: "new" }]);
});
