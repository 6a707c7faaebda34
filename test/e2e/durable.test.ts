// The promise that the product is bought for: 10,000 messages are confirmed for a user who is away, every process is
// killed right after the last SENT, and after a start on the same data all of them arrive, in order.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { issueToken } from "@bimip/auth";
import { type Stack, startStack } from "@bimip/devstack";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { flood, FloodReader } from "../load/flood.js";

const MESSAGES = 10_000;

let stack: Stack;
let dataDir: string;
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "bimip-durable-"));
  stack = await startStack({ dataDir, env: process.env, port: 0 });
});
afterAll(async () => {
  await stack.stop();
  await rm(dataDir, { recursive: true, force: true });
});

test("10,000 confirmed for an absent user survive kill -9 of everything", async () => {
  const port = Number(new URL(stack.httpUrl).port);
  const tokenOf = (eid: string) => issueToken({ secret: stack.secret, eid, device: "phone" });
  const to = "absent@x";
  const load = { port, to, count: MESSAGES, payloadBytes: 100, window: 1_000 };
  await flood({ ...load, token: await tokenOf("sender@x") });
  const before = stack.processes();
  for (const { pid } of before) process.kill(pid, "SIGKILL");

  expect(before.map(({ name }) => name)).toEqual(expect.arrayContaining(["nats-server", "storage", "gateway"]));
  await eventually("all are new processes", () => {
    const pids = new Set(before.map(({ pid }) => pid));
    return stack.processes().every(({ pid }) => !pids.has(pid));
  });
  await stack.ready();
  const reader = new FloodReader(port, await tokenOf(to));
  await eventually("a connection", async () => {
    await reader.connect();
    return true;
  });
  await eventually("all have come", () => reader.count + reader.wrong >= MESSAGES, 60_000);
  expect(reader).toMatchObject({ count: MESSAGES, wrong: 0 });
  reader.close();
});
