// One device, many connections, real processes that freeze (SIGSTOP) in the worst moment: one session is left, it is the newest, and nothing
// that an older one sends afterwards is confirmed to it. Cannot show: several nats-servers, where a claim and a PubAck come by different
// ways.
import { type Page, QuerySchema, QueryType, SignalStatus } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { startTestStack, type TestStack } from "../kit/stack.js";

const LOGINS = 500;
/** After the last of them connected; aimed at 1 s. */
const SETTLED_WITHIN_MS = 3_000;
/** An opening that a frozen replica keeps is told again after 2 s. */
const THAWED_WITHIN_MS = 15_000;

let target: TestStack;
const devices: Device[] = [];
beforeAll(async () => {
  target = await startTestStack({ gateways: 3, awareness: 2 });
});
afterAll(async () => {
  for (const { socket } of devices) socket.terminate();
  await target.stop();
});

async function open(eid: string, gateway: number, settle = false): Promise<Device> {
  const token = await target.token(eid, "phone");
  const device = await Device.open(target.urls[gateway] ?? "", { token, settle });
  devices.push(device);
  return device;
}

const left = (of: readonly Device[]): Device[] => of.filter(({ closed }) => closed === undefined);

async function sessionsOf(device: Device): Promise<Page["sessions"]> {
  const id = `sessions-${Math.random()}`;
  device.send("query", create(QuerySchema, { id, type: QueryType.SESSIONS }));
  return (await device.until("page", (page) => page.id === id)).sessions;
}

const confirmed = (device: Device): string[] =>
  device
    .of("signal")
    .filter(({ status }) => status === SignalStatus.SENT)
    .map(({ id }) => id);

async function passed(ms: number): Promise<void> {
  const untilMs = performance.now() + ms;
  await eventually("time passed", () => performance.now() >= untilMs);
}

test(`${LOGINS} logins of one device at once on three gateways: one is left, and the registry has it`, async () => {
  const all = await Promise.all(Array.from({ length: LOGINS }, (_, at) => open("many@x", at % 3)));
  const connectedMs = performance.now();
  await eventually(
    () => `one is left of ${left(all).length}`,
    () => left(all).length <= 1,
  );
  const settledMs = performance.now() - connectedMs;
  process.stdout.write(`${LOGINS} logins: one left ${settledMs.toFixed(0)} ms after the last one connected\n`);
  expect(settledMs).toBeLessThan(SETTLED_WITHIN_MS);
  for (const { closed } of all) if (closed !== undefined) expect(closed.code).toBe(4409);
  const [newest] = left(all);
  if (newest === undefined) throw new Error("none is left");
  expect(await sessionsOf(newest)).toMatchObject([{ device: "phone", current: true }]);
});

test.each([
  ["for a moment", 300],
  ["for so long that it is taken for dead", 8_000],
])(
  "its gateway is frozen %s while the device connects elsewhere: the old session ends at the waking, and is no writer",
  async (name, frozenMs) => {
    const eid = `frozen-${frozenMs}@x`;
    const to = `reader-${frozenMs}@x`;
    const reader = await open(to, 1, true);
    const old = await open(eid, 0, true);
    await old.pictured();
    await old.messageSent({ id: "before", to: { eid: to } });
    const frozen = target.stack.process("gateway");
    await frozen.kill("SIGSTOP");
    let newer: Device;
    try {
      newer = await open(eid, 1, true);
      await newer.pictured(); // it is registered
      // They wait in the kernel, beside the claim.
      for (let n = 0; n < 50; n++) old.message({ id: `after-${n}`, to: { eid: to } });
      await passed(frozenMs);
    } finally {
      await frozen.kill("SIGCONT");
    }
    const wokenMs = performance.now();
    expect((await old.closing()).code).toBe(4409);
    process.stdout.write(
      `frozen ${name}: the old session is closed ${(performance.now() - wokenMs).toFixed(0)} ms after the waking\n`,
    );
    expect(old.of("logout")).toHaveLength(1);
    expect(confirmed(old)).toEqual(["before"]);
    expect(await sessionsOf(newer)).toMatchObject([{ node: "edge-2", current: true }]);
    // The device repeats what it has no SENT for: each is stored once.
    for (let n = 0; n < 50; n++) newer.message({ id: `after-${n}`, to: { eid: to } });
    await newer.sent("after-49", to);
    await reader.settle();
    await eventually("all of them", () => reader.of("message").length >= 51);
    const ids = reader.of("message").map(({ id }) => id);
    expect(ids).toEqual(["before", ...Array.from({ length: 50 }, (_, n) => `after-${n}`)]);
  },
);

test("a replica of awareness is frozen while devices move from gateway to gateway: each ends with its last session", async () => {
  const eids = Array.from({ length: 30 }, (_, at) => `moves-${at}@x`);
  const frozen = target.stack.process("awareness-2");
  await frozen.kill("SIGSTOP");
  const moves = new Map<string, Device[]>(eids.map((eid) => [eid, []]));
  try {
    for (let move = 0; move < 4; move++) {
      await Promise.all(eids.map(async (eid, at) => void moves.get(eid)?.push(await open(eid, (at + move) % 3))));
      await passed(400);
    }
  } finally {
    await frozen.kill("SIGCONT");
  }
  await eventually(
    () => `one is left of each; of ${[...moves.values()].filter((all) => left(all).length > 1).length} more`,
    () => [...moves.values()].every((all) => left(all).length <= 1),
    THAWED_WITHIN_MS,
  );
  for (const all of moves.values()) {
    const newest = all.at(-1) as Device;
    expect(left(all)).toEqual([newest]);
    const rows = await eventually("it is registered", async () => {
      const answer = await sessionsOf(newest);
      return answer.length > 0 ? answer : undefined;
    });
    expect(rows).toMatchObject([{ device: "phone", current: true }]);
  }
});
