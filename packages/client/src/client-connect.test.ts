// Connecting where something stands in the way, against servers of this process.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it, onTestFinished, vi } from "vitest";
import { ALICE, useClients } from "../test-kit/clients.js";

const clients = useClients();

/** A server that refuses every upgrade with the next of these HTTP statuses, the last one for ever; its URL. */
async function refusing(statuses: number[]): Promise<string> {
  const server = createServer();
  server.on("upgrade", (_request, socket) => {
    const status = statuses.length > 1 ? statuses.shift() : statuses[0];
    socket.end(`HTTP/1.1 ${status} No\r\nlocation: http://127.0.0.1/login\r\ncontent-length: 2\r\n\r\nno`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}/v1/ws`;
}

it("tries again after every refusal that may pass, and says each", async () => {
  const url = await refusing([302, 404, 400, 426, 503, 429, 403]);
  const alice = clients.of(ALICE, { url });
  const codes: number[] = [];
  alice.on("error", ({ code }) => codes.push(code));
  await expect(alice.connect()).rejects.toMatchObject({ code: 403, details: "no" });
  expect([codes, alice.state]).toEqual([[302, 404, 400, 426, 503, 429, 403], "closed"]);
});

it("asks a token function again that does not answer", async () => {
  const { gateway } = clients;
  let asked = 0;
  const token = (): Promise<string> | string => (++asked < 3 ? new Promise(() => undefined) : `${ALICE}/laptop`);
  const alice = clients.of(ALICE, { token, connectTimeoutMs: 200 });
  const errors: unknown[] = [];
  alice.on("error", ({ code, cause }) => errors.push([code, (cause as Error).message]));
  await alice.connect();
  expect(errors).toEqual(Array.from({ length: 2 }, () => [503, "the token function did not answer within 200 ms"]));
  expect(gateway.tokens).toEqual([`${ALICE}/laptop`]);
});

it("waits before the first attempt to come back too", async () => {
  const { gateway } = clients;
  const alice = clients.of(ALICE, { reconnect: { minDelayMs: 40, jitter: 0 } });
  await alice.connect();
  const times: number[] = [];
  alice.on("state", () => times.push(performance.now()));
  gateway.drop();
  await vi.waitFor(() => expect(times).toHaveLength(4));
  const [offline = 0, connecting = 0] = times;
  // A timer may be a millisecond early.
  expect(connecting - offline).toBeGreaterThan(38);
});
