// Real processes: kill -9 of the gateway, the router and nats-server amid traffic. Shows that all that was confirmed is
// delivered, once and in order, and that the SDK comes back by itself. Cannot show: power cuts, clusters.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { issueToken } from "@bimip/auth";
import { type BimipClient, createClient } from "@bimip/client";
import { type Stack, startStack } from "@bimip/devstack";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { natsViolations } from "../kit/nats-violations.js";

let stack: Stack;
let dataDir: string;
const clients: BimipClient[] = [];

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "bimip-kill-"));
  stack = await startStack({ dataDir, env: process.env, port: 0 });
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await stack.stop();
  expect(natsViolations(dataDir)).toEqual([]);
  await rm(dataDir, { recursive: true, force: true });
});

async function connect(eid: string, device: string): Promise<BimipClient> {
  const token = await issueToken({ secret: stack.secret, eid, device });
  const client = createClient({ url: stack.url, token, reconnect: { minDelayMs: 50, maxDelayMs: 1_000 } });
  clients.push(client);
  await client.connect();
  return client;
}

test.each(["gateway", "router", "nats-server"])(
  "kill -9 of %s amid traffic: what was confirmed is delivered, once, in order",
  async (name) => {
    const [from, to] = [`${name}-a@x`, `${name}-b@x`];
    const [phone, laptop, bob, other] = await Promise.all([
      connect(from, "phone"),
      connect(from, "laptop"),
      connect(to, "phone"),
      connect(to, "laptop"),
    ]);
    const got = new Map<BimipClient, string[]>();
    for (const client of [laptop, bob, other]) {
      const ids: string[] = [];
      got.set(client, ids);
      client.on("message", (message) => {
        if (message.text !== "new") ids.push(message.id);
      });
    }
    const total = 3_000;
    const confirmed: string[] = [];
    const sends: Promise<unknown>[] = [];
    let restarted: Promise<unknown> = Promise.reject(new Error("nothing was killed"));
    restarted.catch(() => undefined);
    for (let n = 0; n < total; n++) {
      const id = `m${n}`;
      sends.push(phone.send({ to, text: id, id }).then(() => confirmed.push(id)));
      if (n % 50 === 49) await eventually("room", () => sends.length - confirmed.length < 200, 60_000);
      if (n === 1_000) {
        const victim = stack.process(name);
        const before = victim.pid;
        void victim.kill("SIGKILL");
        // a flow that nobody decided yet has to wait for the router's return
        sends.push(phone.send({ to: `${name}-new@x`, text: "new" }).then(() => confirmed.push("new")));
        restarted = eventually("another pid", () => stack.process(name).pid !== before);
      }
    }
    await restarted;
    await Promise.all(sends);
    expect(confirmed).toHaveLength(total + 1);
    const expected = Array.from({ length: total }, (_, n) => `m${n}`);
    for (const [, ids] of got) {
      await eventually("all delivered", () => ids.length >= total, 60_000);
      expect(ids).toEqual(expected);
    }
  },
);
