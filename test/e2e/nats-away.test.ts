// nats-server hangs (SIGSTOP) for 30 s under load: no SENT for what is not stored, 503 in time, the SDK keeps its messages.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { issueToken } from "@bimip/auth";
import { type BimipClient, createClient } from "@bimip/client";
import { type Stack, startStack } from "@bimip/devstack";
import { connectNats } from "@bimip/nats";
import { ErrorCode, SignalStatus } from "@bimip/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MemoryWatch } from "../bench/process-stats.js";
import { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { readStoredLog } from "../load/stored-log.js";

const AWAY_MS = 30_000;
const ANSWERED_WITHIN_MS = 15_000;
const SDK_PAIRS = 4;
const SEND_EVERY_MS = 50;
const PARTITIONS = 4;
const MAX_GROWTH_BYTES = 64 * 1_048_576;
/** What NATS had answered before it stopped may still be on its way. */
const SETTLED_MS = 1_000;

let stack: Stack;
let dataDir: string;
const clients: BimipClient[] = [];
const devices: Device[] = [];

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "bimip-away-"));
  const env = { ...process.env, BIMIP_LOG_PARTITIONS: String(PARTITIONS) };
  stack = await startStack({ dataDir, env, port: 0 });
});
afterAll(async () => {
  for (const { socket } of devices) socket.terminate();
  await Promise.all(clients.map((client) => client.close()));
  await stack.stop();
  await rm(dataDir, { recursive: true, force: true });
});

const tokenOf = (eid: string) => issueToken({ secret: stack.secret, eid, device: "phone" });

/** An SDK client that sends without pause, and one that receives. */
async function sdkPair(n: number) {
  const [from, to] = [`away-a${n}@x`, `away-b${n}@x`];
  const [sender, receiver] = [
    createClient({ url: stack.url, token: await tokenOf(from) }),
    createClient({ url: stack.url, token: await tokenOf(to) }),
  ];
  clients.push(sender, receiver);
  const [ids, received, sends]: [string[], string[], Promise<unknown>[]] = [[], [], []];
  receiver.on("message", ({ id }) => void received.push(id));
  sender.on("error", () => undefined);
  receiver.on("error", () => undefined);
  await Promise.all([sender.connect(), receiver.connect()]);
  return {
    to,
    ids,
    received,
    sends,
    tick() {
      const id = `m${ids.length}`;
      ids.push(id);
      sends.push(sender.send({ to, text: id, id }));
    },
  };
}

/** A client without an outbox: it sends each message once, and notes what the server says of it, and when. */
async function rawSender(to: string) {
  const device = await Device.open(stack.url, { token: await tokenOf("raw-a@x") });
  devices.push(device);
  const sentAt = new Map<string, number>();
  const answers = new Map<string, { code: number; atMs: number }>();
  device.socket.on("message", () => {
    const stanza = device.received.at(-1);
    const atMs = performance.now();
    if (stanza?.kind === "error") answers.set(stanza.value.id, { code: stanza.value.code, atMs });
    if (stanza?.kind === "signal" && stanza.value.status === SignalStatus.SENT)
      answers.set(stanza.value.id, { code: 0, atMs });
  });
  return {
    to,
    sentAt,
    answers,
    tick() {
      const id = `r${sentAt.size}`;
      sentAt.set(id, performance.now());
      device.message({ id, to: { eid: to } });
    },
  };
}

test("NATS away for 30 s under load: no false SENT, 503 within 15 s, bounded memory, all of the SDK's once", async () => {
  const pairs = await Promise.all(Array.from({ length: SDK_PAIRS }, (_, n) => sdkPair(n)));
  const raw = await rawSender("raw-b@x");
  const timer = setInterval(() => {
    raw.tick();
    for (const pair of pairs) pair.tick();
  }, SEND_EVERY_MS);
  await eventually("traffic", () => pairs.every(({ received }) => received.length > 50));

  const memory = new MemoryWatch(stack.process("gateway").pid);
  const stoppedAtMs = performance.now();
  await stack.process("nats-server").kill("SIGSTOP");
  await delay(AWAY_MS);
  const backAtMs = performance.now();
  await stack.process("nats-server").kill("SIGCONT");
  await eventually("SENT again", () => [...raw.answers.values()].at(-1)?.code === 0, 30_000);
  clearInterval(timer);
  const { start, max } = memory.read();
  memory.stop();
  process.stdout.write(`gateway RSS ${(start / 2 ** 20).toFixed(1)} MB, ${(max / 2 ** 20).toFixed(1)} MB at most\n`);
  expect(max - start).toBeLessThan(MAX_GROWTH_BYTES);

  await eventually("each was answered", () => raw.answers.size === raw.sentAt.size, ANSWERED_WITHIN_MS);
  const answers = [...raw.answers].map(([id, answer]) => ({
    id,
    tookMs: answer.atMs - (raw.sentAt.get(id) ?? 0),
    ...answer,
  }));
  expect(Math.max(...answers.map(({ tookMs }) => tookMs))).toBeLessThan(ANSWERED_WITHIN_MS);
  const [sent, refused] = [answers.filter(({ code }) => code === 0), answers.filter(({ code }) => code !== 0)];
  expect(new Set(refused.map(({ code }) => code))).toEqual(new Set([ErrorCode.TRY_AGAIN]));
  expect(sent.filter(({ atMs }) => atMs > stoppedAtMs + SETTLED_MS && atMs < backAtMs)).toEqual([]);

  const link = await connectNats({ ...stack.natsAccess, name: "test" });
  try {
    const stored = (await readStoredLog(link.nc, raw.to, PARTITIONS)).map(({ id }) => id);
    expect(new Set(stored).size).toBe(stored.length);
    expect(sent.map(({ id }) => id).filter((id) => !stored.includes(id))).toEqual([]);

    for (const { to, ids, received, sends } of pairs) {
      await Promise.all(sends);
      await eventually("all delivered", () => received.length >= ids.length, 30_000);
      expect(received).toEqual(ids);
      expect((await readStoredLog(link.nc, to, PARTITIONS)).map(({ id }) => id)).toEqual(ids);
    }
  } finally {
    await link.nc.close();
  }
});
