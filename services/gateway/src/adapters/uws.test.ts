import { createHealth, createMetrics } from "@bimip/runtime";
import { afterEach, expect, test, vi } from "vitest";
import WebSocket from "ws";
import { Connections, NO_CONNECTION_LIMITS } from "../door/connections.js";
import type { ClientSocket, Transport } from "../ports.js";
import { listenUws } from "./uws.js";

const FRAME_BYTES = 60_000;
/** More than the kernel takes for a reader that sleeps, in one turn of the event loop. */
const BURST_FRAMES = 1_000;

let transport: Transport | undefined;
let cuts: string[] = [];
afterEach(() => {
  transport?.close();
  cuts = [];
});

/** A connected pair: the server's socket, a client that does not read, and how often the server's drained. */
async function connect(): Promise<{
  server: ClientSocket;
  client: WebSocket;
  closed: () => boolean;
  drain: () => void;
}> {
  let server: ClientSocket | undefined;
  let closed = false;
  const drain = vi.fn();
  transport = await listenUws(
    {
      host: "127.0.0.1",
      port: 0,
      maxFrameBytes: 1 << 20,
      maxBackpressureBytes: 256 * 1_024,
      idleTimeoutS: 120,
      health: createHealth(),
      metrics: createMetrics("gateway"),
      isAdmin: true,
      onCut: (reason) => void cuts.push(reason),
    },
    {
      accept: () => true,
      asked: () => undefined,
      visit: () => undefined,
      gone: () => undefined,
      admit: async ({ device, resume, peer }) => {
        const place = new Connections(NO_CONNECTION_LIMITS).enter(peer);
        if (place.refused !== undefined) throw new Error("there is no limit");
        return { ok: true, claims: undefined, device, resume, address: peer, place };
      },
      open(socket) {
        server = socket;
        return {
          onFrame: () => undefined,
          onDrain: drain,
          onClose: () => {
            closed = true;
          },
        };
      },
    },
  );
  const client = new WebSocket(`ws://127.0.0.1:${transport.port}/v1/ws`);
  await new Promise((resolve) => client.once("open", resolve));
  await vi.waitUntil(() => server !== undefined);
  return { server: server as ClientSocket, client, closed: () => closed, drain };
}

test("a burst within one turn shows as congestion in it, and costs no connection: all of it arrives", async () => {
  const { server, client, closed, drain } = await connect();
  client.pause();
  let sent = 0;
  while (!server.congested && sent < BURST_FRAMES) server.send(Buffer.alloc(FRAME_BYTES, sent++ % 256));
  expect(server.congested).toBe(true);
  server.send(Buffer.alloc(1)); // what is not in a log may still be told
  await new Promise((resolve) => setImmediate(resolve));
  expect(closed()).toBe(false);
  expect(cuts).toEqual([]);

  const lengths: number[] = [];
  client.on("message", (data: Buffer) => lengths.push(data.length));
  client.resume();
  await vi.waitUntil(() => lengths.length === sent + 1);
  expect(lengths).toEqual([...Array.from({ length: sent }, () => FRAME_BYTES), 1]);
  await vi.waitUntil(() => drain.mock.calls.length > 0);
  expect(server.congested).toBe(false);
  client.terminate();
});

test("no connection is closed right after its upgrade, however often the process is young", async () => {
  for (let listener = 0; listener < 20; listener++) {
    const { client, closed } = await connect();
    const pong = new Promise((resolve) => client.once("pong", resolve));
    client.ping();
    await pong;
    expect(closed()).toBe(false);
    client.terminate();
    transport?.close();
  }
});

test.each([
  ["x".repeat(200), "x".repeat(123)],
  ["é".repeat(100), "é".repeat(61)],
  [`${"x".repeat(122)}👋`, "x".repeat(122)],
  ["wrong: 👋", "wrong: 👋"],
])("a close's reason is cut to what a close frame may hold, at a whole character: %s", async (reason, told) => {
  const { server, client } = await connect();
  const closing = new Promise((resolve, reject) => {
    client.once("close", (code, text) => resolve([code, text.toString()]));
    client.once("error", reject);
  });
  server.close(4401, reason);
  expect(await closing).toEqual([4401, told]);
});

test("a peer that asks and never reads the answers is closed", async () => {
  const { server, client, closed } = await connect();
  client.pause();
  for (let n = 0; n < BURST_FRAMES; n++) server.send(Buffer.alloc(FRAME_BYTES));
  await vi.waitUntil(closed);
  expect(cuts).toEqual(["unread"]);
  client.terminate();
});

test("over HTTP one question is answered in a connection, with GET and HEAD", async () => {
  const { client } = await connect();
  client.terminate();
  const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`http://127.0.0.1:${transport?.port ?? 0}${path}`, init);
  const alive = await ask("/healthz");
  expect([alive.status, await alive.text(), alive.headers.get("connection")]).toEqual([200, "ok\n", "close"]);
  const head = await ask("/healthz", { method: "HEAD" });
  expect([head.status, await head.text()]).toEqual([200, ""]);
  expect((await ask("/metrics")).status).toBe(200);
  expect((await ask("/")).status).toBe(404);
  expect((await ask("/v1/ws")).status).toBe(404);
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS"])
    expect((await ask("/healthz", { method })).status).toBe(405);
});
