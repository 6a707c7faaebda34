// Tokens, keys, message texts, push payloads and coordinates are planted everywhere where they can come in, under load and with
// faults; then every log line down to level trace, all metrics, what HTTP tells and what others get as errors is searched for them.
// EIDs, devices and ids may be there. Cannot show: what a core dump or the memory of a process would tell.
import { createECDH, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { issueToken } from "@bimip/auth";
import {
  AwarenessContactSchema,
  AwarenessVisibilitySchema,
  encodeStanza,
  EventSchema,
  MessageSchema,
  PingPongSchema,
  PushNotificationSchema,
  QuerySchema,
  SignalSchema,
  TokenAuthoritySchema,
  TokenTask,
} from "@bimip/protocol";
import { createLogger } from "@bimip/runtime";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import webPush from "web-push";
import { Device, HttpRefusal } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { HttpReceiver } from "../kit/http-receiver.js";
import { JwksServer } from "../kit/jwks-server.js";
import { SecretScanner } from "../kit/secret-scan.js";
import { startSystem, type System } from "../kit/system.js";
import { makeKey } from "../kit/token-keys.js";
import { askToken, firstFrame } from "../kit/tokens.js";

const scanner = new SecretScanner();
const SECRET = scanner.plant("the secret of tokens", "planted secret of the tokens, 32 bytes and more");
const HERE = { latitude: 12.3456789, longitude: 98.7654321 };
const logged: string[] = [];
/** Errors, and what else the server says in its own words. */
const told: string[] = [];

let folder: string;
let system: System;
let receiver: HttpReceiver;
let issuer: JwksServer;
const devices: Device[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bimip-secrecy-"));
  const key = makeKey("ES256");
  const pem = String(key.key.export({ type: "pkcs8", format: "pem" }));
  scanner.plant("the signing key", pem.split("\n")[1] ?? "");
  await writeFile(join(folder, "private.pem"), pem);
  await writeFile(join(folder, "public.pem"), key.pem);
  issuer = await JwksServer.start();
  // The first time that it is asked it fails.
  const { answer } = issuer;
  issuer.answer = (response) => {
    issuer.answer = answer;
    response.writeHead(500).end();
  };
  receiver = await HttpReceiver.start();
  // Every other push fails, so that failures are logged as well.
  let pushes = 0;
  receiver.answer = () => ({ status: pushes++ % 2 === 0 ? 500 : 201 });
  const vapid = webPush.generateVAPIDKeys();
  system = await startSystem({
    gateways: 2,
    onLog: (line) => void logged.push(line),
    env: {
      BIMIP_JWT_SECRET: SECRET,
      BIMIP_LOG_LEVEL: "trace",
      BIMIP_TOKEN_SIGNING_KEY_FILE: join(folder, "private.pem"),
      BIMIP_JWT_KEY_FILES: join(folder, "public.pem"),
      BIMIP_JWKS_URL: `${issuer.url}?key=${scanner.unique("the address of the JWKS")}`,
      BIMIP_PUSH_WEBHOOK_URL: `${receiver.url}/hook?key=${scanner.unique("the webhook's address")}`,
      BIMIP_PUSH_WEBHOOK_SECRET: scanner.plant("the webhook's secret", "planted secret of the webhook, 32 bytes"),
      BIMIP_PUSH_AFTER_MS: "100",
      BIMIP_PUSH_RETRY_MS: "50",
      BIMIP_PUSH_TIMEOUT_MS: "1000",
      BIMIP_PUSH_MAX_TRIES: "2",
      BIMIP_VAPID_SUBJECT: "mailto:ops@example.com",
      BIMIP_VAPID_PUBLIC_KEY: vapid.publicKey,
      BIMIP_VAPID_PRIVATE_KEY: scanner.plant("the VAPID key", vapid.privateKey),
      BIMIP_WEBPUSH_HOSTS: receiver.url,
      BIMIP_AUTH_TIMEOUT_MS: "500",
      BIMIP_SEND_DEADLINE_MS: "1500",
      BIMIP_UNKNOWN_RECIPIENT: "reject",
      BIMIP_RATE_MESSAGES: "20/40",
      BIMIP_ABUSE_REFUSALS: "100",
    },
  });
});
afterAll(async () => {
  for (const { socket } of devices) socket.terminate();
  await system.stop();
  await receiver.stop();
  await issuer.stop();
  await rm(folder, { recursive: true, force: true });
});

const url = (gateway = 0): string => system.urls[gateway] ?? "";

async function tokenOf(what: string, eid: string, device: string, more: { expiresInS?: number } = {}): Promise<string> {
  return scanner.plantToken(
    `a token (${what})`,
    await issueToken({ secret: SECRET, eid, device, scope: "push refresh", ...more }),
  );
}

async function open(eid: string, device: string, gateway = 0): Promise<Device> {
  const opened = await Device.open(url(gateway), { token: await tokenOf("header", eid, device) });
  devices.push(opened);
  return opened;
}

/** Everything that the server says in words of its own, whoever got it. */
function listen(device: Device): void {
  for (const { kind, value } of device.received)
    if (kind === "error" || kind === "logout" || kind === "signal") told.push(value.details);
  if (device.closed !== undefined) told.push(device.closed.reason);
}

test("tokens, good and bad, by every way they can come", async () => {
  const good = await tokenOf("subprotocol", "ways@x", "a");
  const { default: WebSocket } = await import("ws");
  const browser = new WebSocket(url(), ["bimip.v1", `bearer.${good}`]);
  await new Promise((resolve, reject) => browser.once("open", resolve).once("error", reject));
  browser.terminate();
  devices.push(await Device.open(url(), { query: `?access_token=${await tokenOf("query", "ways@x", "b")}` }));
  const first = await firstFrame(
    url(),
    { token: await tokenOf("first frame", "ways@x", "c"), task: TokenTask.AUTHENTICATE },
    "",
  );
  await first.until("tokenAuthority");
  devices.push(first);

  const forged = `${good.slice(0, -12)}${"A".repeat(12)}`;
  const bad = [
    scanner.plantToken("a forged token", forged),
    scanner.plantToken(
      "an expired token",
      await issueToken({ secret: SECRET, eid: "e@x", device: "d", expiresInS: -5 }),
    ),
    scanner.plant("no token at all", `planted.${randomBytes(12).toString("hex")}.nonsense`),
    scanner.plant("a long one", `planted${"x".repeat(3_000)}`),
    scanner.plant("a password", "planted-hunter2-planted"),
  ];
  for (const token of bad) {
    for (const options of [{ token }, { query: `?access_token=${encodeURIComponent(token)}` }]) {
      const refusal: unknown = await Device.open(url(1), options).catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(HttpRefusal);
      told.push(String(refusal));
    }
    const stranger = await firstFrame(url(), { token, task: TokenTask.AUTHENTICATE });
    await stranger.closing();
    listen(stranger);
    const stanza = create(TokenAuthoritySchema, { token, refreshToken: token, task: TokenTask.VALIDATE, type: 1 });
    devices[0]?.send("tokenAuthority", stanza);
  }
});

test("refresh tokens, new tokens, and those that are revoked", async () => {
  const device = await open("renewed@x", "phone");
  const began = await askToken(device, { task: TokenTask.REFRESH });
  if (began.$typeName !== "bimip.TokenAuthority") throw new Error(began.details);
  scanner.plantToken("a renewed token", began.token);
  const refreshToken = scanner.plantToken("a refresh token", began.refreshToken);
  const next = await askToken(device, { task: TokenTask.REFRESH, refreshToken });
  if (next.$typeName !== "bimip.TokenAuthority") throw new Error(next.details);
  scanner.plantToken("the next token", next.token);
  scanner.plantToken("the next refresh token", next.refreshToken);
  const again = await askToken(device, {
    task: TokenTask.REFRESH,
    refreshToken: `${refreshToken.slice(0, -8)}AAAAAAAA`,
  });
  told.push(again.details);
  await askToken(device, { task: TokenTask.REVOKE });
  listen(device);
});

test("everything that a stanza can carry, right and wrong, under load and while NATS is away", async () => {
  const [alice, bob] = [await open("alice@x", "phone"), await open("bob@x", "phone", 1)];
  const gone = await open("gone@x", "phone");
  const text = scanner.unique("a message's text");
  const mine = { text, [scanner.unique("a message's key")]: scanner.unique("a message's value") };
  const media = [
    { type: "image", url: scanner.unique("a medium's address"), thumbnail: scanner.unique("a thumbnail"), size: 1n },
  ];
  const metadata = {
    encrypted: Buffer.from(scanner.unique("what is encrypted")).toString("base64"),
    signature: "c2ln",
  };
  const details = scanner.unique("details");
  const keys = {
    p256dh: createECDH("prime256v1").generateKeys("base64url"),
    auth: scanner.plant("a subscription's key", randomBytes(16).toString("base64url")),
  };
  const endpoint = `${receiver.url}/${scanner.unique("a subscription's address")}`;
  const data = Buffer.from(JSON.stringify({ endpoint, keys }));
  gone.send("query", create(QuerySchema, { id: "subscribe", type: 4, data }));
  await gone.settle();
  await gone.close();
  scanner.plant("a coordinate", String(HERE.latitude));
  scanner.plant("another coordinate", String(HERE.longitude));

  const flood = (): void => {
    for (let n = 0; n < 60; n++) {
      for (const to of [{ eid: "bob@x" }, { eid: "gone@x" }, { eid: "nobody@x" }]) {
        const init = { id: `m${n}${Math.random()}`, to, type: "text", payload: { data: mine, media }, metadata };
        alice.send("message", create(MessageSchema, init));
        if (n % 10 === 0) alice.send("pushNotification", create(PushNotificationSchema, { ...init, type: "news" }));
      }
      alice.awareness({ status: 1 + (n % 5), details, ...HERE, locationSharing: 1 });
      alice.location(HERE);
      alice.send(
        "awarenessContact",
        create(AwarenessContactSchema, { to: { eid: "bob@x" }, relationship: 2, action: 1, details }),
      );
      alice.send("awarenessVisibility", create(AwarenessVisibilitySchema, { id: "v", type: 2, details }));
      alice.send("pingPong", create(PingPongSchema, { id: "p", type: 1, details }));
      alice.send(
        "signal",
        create(SignalSchema, { id: "s", to: { eid: "bob@x" }, type: 1, status: 4, monotonicId: 1n, details }),
      );
      alice.send(
        "event",
        create(EventSchema, { id: "e", to: { eid: "bob@x" }, type: "call.offer", data: Buffer.from(text) }),
      );
      alice.send("query", create(QuerySchema, { id: "q", type: 1, with: { eid: "bob@x" }, data: Buffer.from(text) }));
    }
  };
  flood();
  await bob.until("message");
  await eventually("pushes", () => receiver.calls.length > 3);
  const answer = { to: { eid: "alice@x" }, payload: { data: mine } };
  await bob.messageSent({ ...answer, id: "before" });
  await system.nats.kill("SIGKILL");
  flood();
  bob.message({ ...answer, id: "meanwhile" });
  await eventually("failures are logged", () =>
    ["NATS is away", "not confirmed"].every((text) => logged.join().includes(text)),
  );
  await system.nats.restart();
  await eventually("NATS is back", () => logged.filter((line) => line.includes("NATS is back")).length === 2);

  // Wrong ones: the sender may be told what it said, nobody else.
  const wrong = scanner.unique("a wrong value");
  const bytes = encodeStanza(
    "message",
    create(MessageSchema, { id: "w", to: { eid: "bob@x" }, payload: { data: { text } } }),
  );
  const mallory = await open("mallory@x", "phone");
  const misbehave = (): void => {
    mallory.message({ id: "w", to: { eid: "bob@x" }, payload: { media: [{ type: wrong }] }, type: wrong });
    mallory.message({ id: "w", to: { eid: "bob@x" }, metadata: { encrypted: `${wrong} no base64` } });
    mallory.message({ id: "w", from: { eid: "alice@x" }, to: { eid: "bob@x" }, payload: { data: { text } } });
    mallory.location({ latitude: 123.4567891, longitude: HERE.longitude });
    mallory.sendBytes(bytes.slice(0, -3));
    mallory.sendBytes(Buffer.from(`${wrong}${wrong}`));
    mallory.sendBytes(Buffer.concat([bytes, Buffer.from(wrong)]));
  };
  scanner.plant("a coordinate that is none", "123.4567891");
  await eventually("closed for abuse", () => {
    misbehave();
    return mallory.closed;
  });
  expect(mallory.closed?.code).toBe(4429);
  for (const device of [alice, bob]) listen(device);
  expect(alice.of("error").length).toBeGreaterThan(10);
  await system.restart();
});

test("none of it is in a log line, a metric, an answer over HTTP, or what the server says to others", async () => {
  expect(logged.length).toBeGreaterThan(50);
  // Refusals, failures, the fault: there was something to find it in.
  const all = logged.join("\n");
  for (const part of [
    "audit",
    "NATS is away",
    "not confirmed",
    "push failed",
    '"service":"storage"',
    '"reason":"abuse"',
  ])
    expect(all, part).toContain(part);
  expect(scanner.find("the logs", all)).toEqual([]);
  expect(scanner.find("the metrics", await system.metrics())).toEqual([]);
  for (const path of ["/metrics", "/readyz", "/healthz", "/v1/ws", "/"]) {
    const answer = await fetch(`${url().replace("ws:", "http:").replace("/v1/ws", "")}${path}`);
    expect(scanner.find(path, `${JSON.stringify([...answer.headers])} ${await answer.text()}`)).toEqual([]);
  }
  expect(told.filter((one) => one !== "").length).toBeGreaterThan(20);
  expect(scanner.find("what the server says", told.join("\n"))).toEqual([]);
});

test("the search finds what is planted, in whatever form, and the log hides what goes by a secret's name", () => {
  const planted = new SecretScanner();
  const secret = planted.plant("it", 'a "planted" secret');
  for (const text of [
    `x ${secret} y`,
    JSON.stringify({ deep: { secret } }),
    Buffer.from(secret).toString("hex"),
    Buffer.from(`xy${secret}z`).toString("base64"),
    Buffer.from(`x${secret}`).toString("base64url"),
    `?q=${encodeURIComponent(secret)}`,
  ])
    expect(planted.find("text", text), text).toEqual(["it in text"]);
  expect(planted.find("text", "nothing")).toEqual([]);
  const lines: string[] = [];
  const logger = createLogger("gateway", "trace", { write: (line) => void lines.push(line) });
  logger.trace({
    refreshToken: secret,
    config: { BIMIP_PUSH_WEBHOOK_SECRET: secret, BIMIP_VAPID_PRIVATE_KEY: secret },
  });
  logger.trace({ err: Object.assign(new Error("failed"), { endpoint: secret, headers: { authorization: secret } }) });
  expect(planted.find("the log", lines.join())).toEqual([]);
  logger.trace({ harmless: secret });
  expect(planted.find("the log", lines.join())).toEqual(["it in the log"]);
});
