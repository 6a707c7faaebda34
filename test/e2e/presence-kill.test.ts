// kill -9 of gateways, of awareness and of nats-server, real processes: contacts see who is gone and who came back, nobody is
// shown OFFLINE who was only moved, and no ghosts are left. Cannot show: machines that vanish from the network.
import { AwarenessStatus } from "@bimip/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { startTestStack, type TestStack } from "../kit/stack.js";
import { acquaint, inBatches, untilTrue } from "../load/crowd.js";
import { runFlapping } from "../load/flapping-run.js";

const { ONLINE, OFFLINE } = AwarenessStatus;
const SESSIONS = 1_000;
const OBSERVERS = 20;
/** After its gateway's end. */
const OFFLINE_WITHIN_MS = 10_000;
/** The default. */
const GRACE_MS = 5_000;
/** New ones of a user's device, after a restart of anything. */
const SETTLE_MS = 40_000;

let target: TestStack;
const devices: Device[] = [];
beforeAll(async () => {
  target = await startTestStack({ gateways: 2, awareness: 2 });
});
afterAll(async () => {
  for (const { socket } of devices) socket.terminate();
  await target.stop();
});

async function open(eid: string, gateway: number): Promise<Device> {
  const device = await Device.open(target.urls[gateway] ?? "", { token: await target.token(eid, "phone") });
  devices.push(device);
  return device;
}

/** kill -9; resolves when the process has been started again and is ready. */
async function killAndRestart(name: string): Promise<void> {
  const process = target.stack.process(name);
  const { pid } = process;
  await process.kill("SIGKILL");
  await eventually("it runs again", () => target.stack.process(name).pid !== pid);
  await target.stack.ready();
}

/** Users with a device on the first gateway, and observers of some each on the second. */
async function crowd(name: string, users: number, observers: number): Promise<{ observer: Device; users: Device[] }[]> {
  const perObserver = users / observers;
  const groups = await inBatches(
    Array.from({ length: observers }, (_, at) => at),
    async (at) => ({
      observer: await open(`${name}-observer-${at}@x`, 1),
      users: await inBatches(
        Array.from({ length: perObserver }, (_, n) => `${name}-${at}-${n}@x`),
        (eid) => open(eid, 0),
      ),
    }),
    4,
  );
  await inBatches(groups, ({ observer, users: all }) => acquaint([observer], all), 4);
  return groups;
}

test(`a gateway with ${SESSIONS} sessions is killed: OFFLINE within 10 s for those who stay away, nothing for the others`, async () => {
  const groups = await crowd("moved", SESSIONS, OBSERVERS);
  const all = groups.flatMap(({ users }) => users);
  expect(all).toHaveLength(SESSIONS);
  const killedAtMs = performance.now();
  void target.stack.process("gateway").kill("SIGKILL");
  await eventually("the sockets are gone", () => all.every(({ closed }) => closed !== undefined));
  const comeBack = all.filter((_, at) => at % 2 === 0);
  await inBatches(comeBack, ({ eid }) => open(eid, 1));
  const backMs = performance.now() - killedAtMs;
  expect(backMs, "else they were not back within the grace period").toBeLessThan(GRACE_MS);
  const truth = new Map(all.map(({ eid }, at) => [eid, at % 2 === 0]));
  const shownMs: number[] = [];
  await Promise.all(
    groups.map(async ({ observer, users }) => {
      const own = new Map(users.map(({ eid }) => [eid, truth.get(eid) === true]));
      await untilTrue([observer], own, OFFLINE_WITHIN_MS - (performance.now() - killedAtMs));
      shownMs.push(performance.now() - killedAtMs);
    }),
  );
  process.stdout.write(
    `back after ${(backMs / 1_000).toFixed(1)} s, OFFLINE after ${(Math.max(...shownMs) / 1_000).toFixed(1)} s\n`,
  );
  await target.stack.ready();
  for (const { observer, users } of groups) {
    for (const { eid } of users)
      expect(observer.picture.statusesOf(eid), eid).toEqual(truth.get(eid) === true ? [ONLINE] : [ONLINE, OFFLINE]);
  }
});

test("a gateway that is killed and back at once under its name leaves no ghosts", async () => {
  const groups = await crowd("ghost", 60, 2);
  const all = groups.flatMap(({ users }) => users);
  await killAndRestart("gateway");
  const comeBack = all.filter((_, at) => at % 3 === 0);
  await inBatches(comeBack, ({ eid }) => open(eid, 0));
  for (const { observer, users } of groups) {
    const truth = new Map(users.map(({ eid }) => [eid, comeBack.some((one) => one.eid === eid)]));
    await untilTrue([observer], truth, OFFLINE_WITHIN_MS);
    const later = await Device.open(target.urls[0] ?? "", { token: await target.token(observer.eid, "later") });
    devices.push(later);
    await later.pictured();
    await untilTrue([later], truth, 1);
  }
});

test("awareness, each replica in turn, and nats-server are killed while devices come and go: no ghosts at the end", async () => {
  const kills: string[] = [];
  const report = await runFlapping(target, {
    name: "killed",
    devices: 60,
    observers: 3,
    seed: 7,
    longAwayMs: 1_000,
    settleWithinMs: SETTLE_MS,
    async meanwhile(connects) {
      for (const name of ["awareness", "awareness-2", "nats-server", "awareness", "gateway"]) {
        const before = connects();
        await eventually("they come and go", () => connects() > before + 100);
        await killAndRestart(name);
        kills.push(name);
      }
    },
  });
  process.stdout.write(`${kills.length} kills, ${JSON.stringify(report)}\n`);
  expect(report.connects).toBeGreaterThan(100);
  expect(report.online).toBeGreaterThan(0);
  expect(report.online).toBeLessThan(report.users);
});
