import { closeSync, openSync } from "node:fs";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { expect, test } from "vitest";
import { hasFiles, maxSockets } from "./file-limit.js";

/** Of which so many are left for connections. */
function limitThatLeaves(count: number): number {
  const lowest = openSync("/dev/null", "r");
  closeSync(lowest);
  return lowest + 128 + count;
}

test.runIf(process.platform === "linux")("what is open counts, whoever has it, until it is closed", async () => {
  const limit = limitThatLeaves(20);
  expect(hasFiles(limit)).toBe(true);
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.end("goodbye").resume()).listen(
    0,
    "127.0.0.1",
  );
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  // They hear the goodbye and do not hang up.
  const peers: Socket[] = [];
  for (let n = 0; n < 12; n++) {
    const peer = connect({ port, host: "127.0.0.1", allowHalfOpen: true }).resume();
    peers.push(peer);
    await once(peer, "end");
  }
  expect(hasFiles(limit)).toBe(false);
  for (const peer of peers) peer.destroy();
  server.close();
  await once(server, "close");
  await expect.poll(() => hasFiles(limit)).toBe(true);
});

test("without a limit there are always some; of few a connection may take more than one", () => {
  expect(hasFiles(Number.POSITIVE_INFINITY)).toBe(true);
  expect([maxSockets(1_028, 1), maxSockets(1_028, 3)]).toEqual([900, 300]);
});
