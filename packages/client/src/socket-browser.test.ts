// The browser's socket file with ws as the global WebSocket: it has the same interface.
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { WebSocket } from "ws";
import { FakeGateway } from "../test-kit/fake-gateway.js";
import { createClient } from "./client.js";
import { defaultSockets } from "./socket-browser.js";

let gateway: FakeGateway;

beforeAll(async () => {
  vi.stubGlobal("WebSocket", WebSocket);
  gateway = await FakeGateway.start();
});

afterAll(async () => {
  await gateway.stop();
  vi.unstubAllGlobals();
});

const open = (token: string) =>
  createClient({
    url: gateway.url,
    token,
    eid: "alice@example.com",
    socket: defaultSockets,
    reconnect: { minDelayMs: 5 },
  });

it("authenticates by its first frame, replays, sends, comes back", async () => {
  gateway.put("alice@example.com", "one");
  const alice = open("alice@example.com/tab");
  const texts: (string | undefined)[] = [];
  alice.on("message", ({ text }) => texts.push(text));
  await alice.connect();
  expect(texts).toEqual(["one"]);
  // Index 2 is the receipt for "one".
  await vi.waitFor(() => expect(gateway.receipts).toHaveLength(1));
  expect(await alice.send({ to: "bob@example.com", text: "hi" })).toMatchObject({ index: 3, logIndex: 4 });
  gateway.drop();
  await vi.waitFor(() => expect(gateway.tokens).toHaveLength(2));
  await vi.waitFor(() => expect(alice.state).toBe("online"));
  gateway.put("alice@example.com", "two");
  await vi.waitFor(() => expect(texts).toEqual(["one", "two"]));
  await alice.close();
});

it("rejects with the 401 that the server said in a frame", async () => {
  const alice = open("bad");
  await expect(alice.connect()).rejects.toMatchObject({ code: 401, details: expect.stringMatching(/signature/) });
  expect(alice.state).toBe("closed");
});
