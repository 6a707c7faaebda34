// A router that hangs (SIGSTOP) for longer than the deadline: what waits for its answer fails together, in time, and
// the SDK stores it later in the order of its sends.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { issueToken } from "@bimip/auth";
import { createClient } from "@bimip/client";
import { type Stack, startStack } from "@bimip/devstack";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";

let stack: Stack;
let dataDir: string;
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "bimip-frozen-"));
  stack = await startStack({ dataDir, env: { ...process.env, BIMIP_SEND_DEADLINE_MS: "2000" }, port: 0 });
});
afterAll(async () => {
  await stack.stop();
  await rm(dataDir, { recursive: true, force: true });
});

test("messages to an undecided recipient get 503 together, and arrive later in order, once", async () => {
  const tokenOf = (eid: string) => issueToken({ secret: stack.secret, eid, device: "phone" });
  const bob = await Device.open(stack.url, { token: await tokenOf("bob@x") });
  const raw = await Device.open(stack.url, { token: await tokenOf("raw@x") });
  const client = createClient({ url: stack.url, token: await tokenOf("alice@x") });
  await client.connect();
  await stack.process("router").kill("SIGSTOP");
  const started = performance.now();
  const sends = Array.from({ length: 10 }, (_, n) => client.send({ to: "bob@x", text: `${n}`, id: `s${n}` }));
  for (let n = 0; n < 10; n++) raw.message({ id: `r${n}`, to: { eid: "bob@x" } });
  const errors = await raw.count("error", 10);
  expect(errors.map(({ code }) => code)).toEqual(Array.from({ length: 10 }, () => 503));
  expect(errors.map(({ id }) => id)).toEqual(Array.from({ length: 10 }, (_, n) => `r${n}`));
  expect(performance.now() - started).toBeLessThan(10_000);
  await stack.process("router").kill("SIGCONT");
  await Promise.all(sends);
  await eventually("all delivered", () => bob.of("message").length >= 10);
  await bob.settle();
  expect(bob.of("message").map(({ id }) => id)).toEqual(Array.from({ length: 10 }, (_, n) => `s${n}`));
  await client.close();
});
