// The client against a gateway of this process over real sockets: what it does, not what a real gateway does.
import {
  AwarenessSchema,
  BodySchema,
  encodeStanza,
  ErrorMessageSchema,
  LogoutSchema,
  MessageSchema,
  SignalSchema,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeGateway } from "../test-kit/fake-gateway.js";
import type { BimipClient } from "./bimip-client.js";
import { createClient } from "./client.js";
import type { ClientOptions } from "./client-options.js";
import type { IncomingMessage } from "./incoming-message.js";

const ALICE = "alice@example.com";
const BOB = "bob@example.com";
const FAST = { minDelayMs: 5, maxDelayMs: 40 };

let gateway: FakeGateway;
const clients: BimipClient[] = [];

beforeEach(async () => {
  gateway = await FakeGateway.start();
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await vi.waitFor(() => expect(gateway.sessions.size).toBe(0));
  await gateway.stop();
});

function clientOf(eid: string, options: Partial<ClientOptions> = {}): BimipClient {
  const client = createClient({ url: gateway.url, token: `${eid}/laptop`, eid, reconnect: FAST, ...options });
  clients.push(client);
  return client;
}

function messagesOf(client: BimipClient): IncomingMessage[] {
  const messages: IncomingMessage[] = [];
  client.on("message", (message) => messages.push(message));
  return messages;
}

const texts = (messages: readonly IncomingMessage[]): (string | undefined)[] => messages.map(({ text }) => text);

describe("connect", () => {
  it("resolves after the replay; live messages follow", async () => {
    gateway.put(ALICE, "one");
    gateway.put(ALICE, "two");
    const alice = clientOf(ALICE);
    const messages = messagesOf(alice);
    const states: string[] = [];
    alice.on("state", (state) => states.push(state));
    expect(alice.state).toBe("offline");
    await alice.connect();
    expect(messages.map(({ text, replayed, index, previousIndex }) => [text, replayed, index, previousIndex])).toEqual([
      ["one", true, 1, 0],
      ["two", true, 2, 1],
    ]);
    expect(messages[0]).toMatchObject({ from: { eid: "someone@example.com", device: "phone" }, to: { eid: ALICE } });
    gateway.put(ALICE, "three");
    await vi.waitFor(() => expect(messages).toHaveLength(3));
    expect(messages[2]).toMatchObject({ text: "three", replayed: false });
    expect(states).toEqual(["connecting", "replaying", "online"]);
    await alice.connect();
    await alice.close();
    expect(alice.state).toBe("closed");
  });

  it("rejects with 401 and does not come back", async () => {
    const alice = clientOf(ALICE, { token: "bad" });
    const errors: number[] = [];
    alice.on("error", ({ code }) => errors.push(code));
    await expect(alice.connect()).rejects.toMatchObject({
      name: "BimipError",
      code: 401,
      details: expect.stringMatching(/signature/),
    });
    expect([alice.state, gateway.tokens.length, errors]).toEqual(["closed", 1, [401]]);
    await expect(alice.send({ to: BOB, text: "late" })).rejects.toMatchObject({ code: 503 });
  });

  it("asks a token function once more after 401", async () => {
    const tokens = ["bad", `${ALICE}/laptop`];
    const alice = clientOf(ALICE, { token: async () => tokens.shift() ?? "none" });
    await alice.connect();
    expect(gateway.tokens).toEqual(["bad", `${ALICE}/laptop`]);
    const stubborn = clientOf(ALICE, { token: () => "bad" });
    await expect(stubborn.connect()).rejects.toMatchObject({ code: 401 });
    let count = 0;
    const inventive = clientOf(ALICE, { token: () => `bad${count++}` });
    await expect(inventive.connect()).rejects.toMatchObject({ code: 401 });
    expect(gateway.tokens.slice(2)).toEqual(["bad", "bad0", "bad1"]);
  });

  it("keeps trying while nobody answers", async () => {
    const { port } = gateway;
    const alice = clientOf(ALICE);
    await gateway.stop();
    const errors: string[] = [];
    alice.on("error", ({ details }) => errors.push(details));
    const online = alice.connect();
    await vi.waitFor(() => expect(errors.length).toBeGreaterThan(2));
    expect(errors[0]).toContain("ECONNREFUSED");
    gateway = await FakeGateway.start(port);
    await online;
    expect(alice.state).toBe("online");
  });

  it("close() while connecting rejects and stays closed", async () => {
    gateway.answersResume = false;
    const alice = clientOf(ALICE);
    const outcome = expect(alice.connect()).rejects.toMatchObject({ code: 503 });
    await vi.waitFor(() => expect(alice.state).toBe("replaying"));
    await alice.close();
    await outcome;
    gateway.answersResume = true;
    await alice.connect();
    expect(alice.state).toBe("online");
  });

  it("refuses an address that is none", () => {
    expect(() => createClient({ url: "http://127.0.0.1", token: "t" })).toThrow(/ws:\/\//);
  });

  it("stops with 422 where the platform cannot even try", async () => {
    await expect(clientOf(ALICE, { token: "two\nlines" }).connect()).rejects.toMatchObject({ code: 422 });
  });
});

describe("send", () => {
  it("resolves on SENT, and the recipient gets it", async () => {
    const alice = clientOf(ALICE);
    const bob = clientOf(BOB, { device: "tablet" });
    const messages = messagesOf(bob);
    await Promise.all([alice.connect(), bob.connect()]);
    const media = [{ type: "image", url: "https://example.com/cat.png", size: 7 }];
    const sent = await alice.send({ to: BOB, text: "hello", id: "m1", data: { mood: "good" }, media, timestamp: 5 });
    expect(sent).toEqual({ id: "m1", to: BOB, index: 1, logIndex: 2 });
    await vi.waitFor(() => expect(messages).toHaveLength(1));
    expect(messages[0]).toMatchObject({
      id: "m1",
      text: "hello",
      type: "text",
      media,
      timestamp: 5,
      data: { mood: "good" },
    });
    expect(await alice.ping()).toBeGreaterThan(0);
  });

  it("sends what was given before connect, in order", async () => {
    const alice = clientOf(ALICE, { maxInFlight: 2 });
    const sending = ["a", "b", "c", "d", "e"].map((text) => alice.send({ to: BOB, text }));
    await alice.connect();
    const indexes = (await Promise.all(sending)).map(({ index }) => index);
    expect(indexes).toEqual([1, 3, 5, 7, 9]);
    expect(gateway.texts(BOB)).toEqual(["a", "b", "c", "d", "e"]);
  });

  it("rejects with what the server answered, and with 422 before sending", async () => {
    const alice = clientOf(ALICE);
    await alice.connect();
    gateway.fate = () => 403;
    await expect(alice.send({ to: BOB, text: "x", id: "no" })).rejects.toMatchObject({ code: 403, id: "no" });
    await expect(alice.send({ to: "", text: "x" })).rejects.toMatchObject({ code: 422, field: "message.to.eid" });
    await expect(alice.send({ to: BOB, text: "x".repeat(1 << 20) })).rejects.toMatchObject({ code: 413 });
    expect(gateway.received).toHaveLength(1);
  });

  it("gives the same promise for the same id to the same recipient while it is under way", async () => {
    const alice = clientOf(ALICE);
    const both = Promise.all([
      alice.send({ to: BOB, text: "x", id: "i" }),
      alice.send({ to: BOB, text: "y", id: "i" }),
    ]);
    const other = alice.send({ to: ALICE, text: "z", id: "i" });
    await alice.connect();
    const [first, second] = await both;
    expect(second).toEqual(first);
    expect(await other).toMatchObject({ to: ALICE });
    expect(gateway.received).toHaveLength(2);
  });

  it("sends again with the same ids in the same order after the connection broke", async () => {
    const alice = clientOf(ALICE);
    await alice.connect();
    // The first is stored but its SENT is lost, the others never arrive.
    gateway.fate = ({ id }) => (id === "m0" ? "storeSilently" : "ignore");
    const sending = Array.from({ length: 5 }, (_, n) => alice.send({ to: BOB, text: `t${n}`, id: `m${n}` }));
    await vi.waitFor(() => expect(gateway.received).toHaveLength(5));
    gateway.fate = () => "store";
    gateway.drop();
    const sent = await Promise.all(sending);
    expect(sent.map(({ id }) => id)).toEqual(["m0", "m1", "m2", "m3", "m4"]);
    expect(gateway.received.slice(5).map(({ id }) => id)).toEqual(["m0", "m1", "m2", "m3", "m4"]);
    expect(gateway.texts(BOB)).toEqual(["t0", "t1", "t2", "t3", "t4"]);
  });

  it("tries again after 503, in order per recipient, others not held up", async () => {
    const alice = clientOf(ALICE);
    await alice.connect();
    let refusals = 3;
    gateway.fate = (message) => (message.to?.eid === BOB && refusals-- > 0 ? 503 : "store");
    const sending = Array.from({ length: 6 }, (_, n) => alice.send({ to: BOB, text: `t${n}` }));
    // Bob's first three were refused, so his fourth to sixth were stored before them; the later ones must wait.
    const toCarol = alice.send({ to: "carol@example.com", text: "at once" });
    expect(await toCarol).toMatchObject({ index: expect.any(Number) });
    await Promise.all(sending);
    expect(gateway.texts(BOB)).toEqual(["t3", "t4", "t5", "t0", "t1", "t2"]);
  });

  it("holds later messages back while earlier ones wait for their next try", async () => {
    const alice = clientOf(ALICE, { maxInFlight: 2 });
    await alice.connect();
    let refusing = true;
    gateway.fate = () => (refusing ? 503 : "store");
    const sending = Array.from({ length: 8 }, (_, n) => alice.send({ to: BOB, text: `t${n}` }));
    await vi.waitFor(() => expect(gateway.received.length).toBeGreaterThan(5));
    refusing = false;
    await Promise.all(sending);
    expect(gateway.texts(BOB)).toEqual(["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"]);
  });

  it("rejects what is unconfirmed on close()", async () => {
    const alice = clientOf(ALICE);
    await alice.connect();
    gateway.fate = () => "ignore";
    gateway.answersPings = false;
    const outcomes = Promise.allSettled([alice.send({ to: BOB, text: "x" }), alice.ping()]);
    await alice.close();
    expect(await outcomes).toMatchObject([
      { status: "rejected", reason: { code: 503, details: expect.stringContaining("the client was closed") } },
      { status: "rejected", reason: { code: 503 } },
    ]);
  });
});

describe("reconnect", () => {
  it("goes on behind the last index, nothing twice", async () => {
    gateway.put(ALICE, "one");
    const alice = clientOf(ALICE);
    const messages = messagesOf(alice);
    await alice.connect();
    gateway.put(ALICE, "two");
    await vi.waitFor(() => expect(messages).toHaveLength(2));
    gateway.drop();
    gateway.put(ALICE, "three");
    await vi.waitFor(() => expect(messages).toHaveLength(3));
    expect(texts(messages)).toEqual(["one", "two", "three"]);
    expect(gateway.resumes).toEqual([null, "manual", 2n]);
  });

  it("drops a stanza it has seen", async () => {
    const alice = clientOf(ALICE);
    const messages = messagesOf(alice);
    const stanzas: string[] = [];
    alice.on("stanza", ({ kind }) => stanzas.push(kind));
    await alice.connect();
    const twice = encodeStanza("message", create(MessageSchema, { id: "m", monotonicId: 9n }));
    gateway.broadcast(twice);
    gateway.broadcast(twice);
    await alice.ping();
    expect(messages).toHaveLength(1);
    expect(stanzas.filter((kind) => kind === "message")).toHaveLength(2);
  });

  it("does not jump over a message that SENT overtook", async () => {
    const alice = clientOf(ALICE);
    const messages = messagesOf(alice);
    await alice.connect();
    gateway.put(ALICE, "one");
    await vi.waitFor(() => expect(messages).toHaveLength(1));
    // SENT of an own copy at 4 (2 is not known yet) must not hide what the server holds at 2.
    for (const session of gateway.sessions) session.live = false;
    gateway.put(ALICE, "two");
    await alice.send({ to: BOB, text: "x" });
    gateway.drop();
    await vi.waitFor(() => expect(texts(messages)).toEqual(["one", "two"]));
    expect(gateway.resumes.slice(1, 3)).toEqual(["manual", 1n]);
  });

  it("reads a recreated log from its beginning", async () => {
    for (const text of ["one", "two", "three"]) gateway.put(ALICE, text);
    const alice = clientOf(ALICE);
    const messages = messagesOf(alice);
    await alice.connect();
    gateway.forget();
    gateway.drop();
    gateway.put(ALICE, "anew");
    await vi.waitFor(() => expect(messages).toHaveLength(4));
    expect(texts(messages)).toEqual(["one", "two", "three", "anew"]);
    expect(gateway.resumes).toEqual([null, "manual", 3n, 0n]);
  });

  it("stays away after 4409", async () => {
    const alice = clientOf(ALICE);
    const logouts: string[] = [];
    alice.on("logout", ({ details }) => logouts.push(details));
    await alice.connect();
    gateway.broadcast(encodeStanza("logout", create(LogoutSchema, { type: 2, status: 1, details: "replaced" })));
    gateway.close(4409);
    await vi.waitFor(() => expect(alice.state).toBe("closed"));
    expect([logouts, gateway.tokens.length]).toEqual([["replaced"], 1]);
  });

  it("comes back after 4401 only with another token", async () => {
    const tokens = [`${ALICE}/laptop`, `${ALICE}/laptop2`, `${ALICE}/laptop2`];
    const alice = clientOf(ALICE, { token: () => tokens.shift() ?? "none" });
    const errors: number[] = [];
    alice.on("error", ({ code }) => errors.push(code));
    await alice.connect();
    gateway.close(4401);
    await vi.waitFor(() => expect(gateway.tokens).toHaveLength(2));
    await vi.waitFor(() => expect(alice.state).toBe("online"));
    gateway.close(4401, "expired");
    await vi.waitFor(() => expect(alice.state).toBe("closed"));
    expect([gateway.tokens.length, errors]).toEqual([2, [401]]);
  });

  it("gives up a peer that fell silent", async () => {
    const alice = clientOf(ALICE, { pingIntervalMs: 20 });
    await alice.connect();
    gateway.answersPings = false;
    await vi.waitFor(() => expect(gateway.tokens.length).toBeGreaterThan(1));
    gateway.answersPings = true;
    await vi.waitFor(() => expect(alice.state).toBe("online"));
  });
});

describe("events", () => {
  it("hands on signals, awareness one by one, and errors that belong to no message", async () => {
    const alice = clientOf(ALICE);
    const seen: unknown[] = [];
    alice.on("signal", ({ status }) => seen.push(["signal", status]));
    alice.on("awareness", ({ status }) => seen.push(["awareness", status]));
    const off = alice.on("error", ({ code, id }) => seen.push(["error", code, id]));
    await alice.connect();
    gateway.broadcast(encodeStanza("signal", create(SignalSchema, { type: 1, status: 1 })));
    const awarenessList = [1, 3].map((status) => create(AwarenessSchema, { type: 1, status }));
    gateway.broadcast(encodeStanza("body", create(BodySchema, { awarenessList })));
    const error = encodeStanza("error", create(ErrorMessageSchema, { code: 400, id: "stranger" }));
    gateway.broadcast(error);
    gateway.broadcast(new Uint8Array([0xff]));
    await alice.ping();
    off();
    gateway.broadcast(error);
    await alice.ping();
    expect(seen).toEqual([
      ["signal", 1],
      ["awareness", 1],
      ["awareness", 3],
      ["error", 400, "stranger"],
      ["error", 400, undefined],
    ]);
  });
});
