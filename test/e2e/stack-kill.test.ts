// kill -9 of everything at once, five times amid traffic: `bimip up` with its nats-server and services, started again on
// the same data. Shows that what got its SENT is there, once, in order. Cannot show: power cuts, where the kernel dies too.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { issueToken } from "@bimip/auth";
import { SignalSchema, SignalStatus, SignalType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ChaosDevice, connectChaosDevice } from "../chaos/chaos-device.js";
import { countMissing, judge, judgeLogs } from "../chaos/checker.js";
import { type DeviceName, History } from "../chaos/history.js";
import { choosePorts } from "../chaos/ports.js";
import { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";

const KILLS = 5;
/** Confirmed between two kills, at least. */
const CONFIRMED = 300;
const MAX_WAITING = 100;
const READY_MS = 60_000;
const BIMIP = fileURLToPath(new URL("../../packages/cli/bin/bimip.js", import.meta.url));
const DEVICES: readonly DeviceName[] = [
  { eid: "ann@x", device: "phone" },
  { eid: "ann@x", device: "laptop" },
  { eid: "bob@x", device: "phone" },
  { eid: "eve@x", device: "phone" },
];
const EIDS = [...new Set(DEVICES.map(({ eid }) => eid))];

let dataDir: string;
let port: number;
let stack: ChildProcess;
const devices: ChaosDevice[] = [];

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "bimip-stack-kill-"));
  [port = 0] = await choosePorts(1);
  stack = await start();
});
afterAll(async () => {
  await Promise.all(devices.map((device) => device.close()));
  await end(stack, "SIGTERM");
  await rm(dataDir, { recursive: true, force: true });
});

/** `bimip up` in a process group of its own; resolves when it says that it is ready. */
async function start(): Promise<ChildProcess> {
  const args = [BIMIP, "up", "--json", "--port", String(port), "--data-dir", dataDir];
  const child = spawn(process.execPath, args, { detached: true, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  await eventually(
    () => `ready: ${output}`,
    () => output.includes('"event":"ready"'),
    READY_MS,
  );
  return child;
}

/** Ends the whole group. */
async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  process.kill(-(child.pid ?? 0), signal);
  await eventually("the end", () => child.exitCode !== null || child.signalCode !== null, READY_MS);
}

test("every message with SENT is there once after each of five kills", { timeout: 300_000 }, async () => {
  const history = new History(DEVICES);
  const secret = (await readFile(join(dataDir, "jwt-secret"), "utf8")).trim();
  for (const name of DEVICES) {
    devices.push(await connectChaosDevice({ ...name, history, secret, gateways: () => [port] }));
  }
  const confirmed = (): number => history.acknowledgedCount;
  const traffic = setInterval(() => {
    for (const device of devices) {
      for (const eid of EIDS) if (device.waiting < MAX_WAITING) device.send(eid);
    }
  }, 10);
  let unconfirmedAtKill = 0;
  try {
    for (let kill = 0; kill < KILLS; kill++) {
      const before = confirmed();
      await eventually("traffic flows", () => confirmed() >= before + CONFIRMED, READY_MS);
      unconfirmedAtKill += devices.reduce((sum, { waiting }) => sum + waiting, 0);
      await end(stack, "SIGKILL");
      stack = await start();
    }
    const before = confirmed();
    await eventually("traffic flows again", () => confirmed() >= before + CONFIRMED, READY_MS);
  } finally {
    clearInterval(traffic);
  }
  await eventually("all confirmed", () => devices.every(({ waiting }) => waiting === 0), READY_MS);
  await eventually("all received, receipts too", () => countMissing(history, DEVICES) === 0, READY_MS).catch(
    () => undefined,
  );
  expect(judge(history, DEVICES).violations).toEqual([]);
  // Else nothing was at risk.
  expect(unconfirmedAtKill).toBeGreaterThan(0);

  // The logs themselves, read from the beginning by a device that knows nothing.
  const logs = new Map<string, { index: number; id: string }[]>();
  for (const eid of EIDS) {
    const token = await issueToken({ secret, eid, device: "reader" });
    const reader = await Device.open(`ws://127.0.0.1:${port}/v1/ws`, { token, query: "?resume=manual", settle: false });
    const everything = { type: SignalType.REQUEST, status: SignalStatus.RESUME, monotonicId: -1n };
    reader.send("signal", create(SignalSchema, everything));
    await reader.resumed();
    logs.set(
      eid,
      reader.of("message").map(({ monotonicId, id }) => ({ index: Number(monotonicId), id })),
    );
    await reader.close();
  }
  expect(judgeLogs(history, logs)).toEqual([]);
});
