// What a gateway says of itself, and what it does when NATS or awareness come back, over a real nats-server; the awareness service
// is played by the test.
import { setTimeout as delay } from "node:timers/promises";
import { BUCKETS, SUBJECTS } from "@bimip/nats";
import { SessionClaimSchema } from "@bimip/protocol";
import { create, toBinary } from "@bufbuild/protobuf";
import { Kvm } from "@nats-io/kv";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  awarenessOf,
  AwarenessStandIn,
  change,
  type GatewayAlone,
  startGatewayAlone,
} from "../kit/awareness-stand-in.js";
import type { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { contactBytes, connectTo, flat, snapshotsOf } from "../kit/told-awareness.js";

let kit: GatewayAlone;
let awareness: AwarenessStandIn;
beforeAll(async () => {
  kit = await startGatewayAlone();
  ({ awareness } = kit);
});
afterAll(() => kit.stop());
beforeEach(() => {
  awareness.answerAsEver();
});

const connect = (eid: string, name?: string): Promise<Device> => connectTo(kit, eid, name);

describe("what a gateway says of itself", () => {
  const lease = async (gateway: string): Promise<unknown> => {
    const entry = await (await new Kvm(kit.link.nc).open(BUCKETS.gateways)).get(gateway);
    return entry === null || entry.operation !== "PUT"
      ? undefined
      : { ...entry.json<object>(), revision: entry.revision };
  };

  test("it has a lease that it renews, and answers a ping with its node", async () => {
    await connect("lease@x");
    const gateway = await awareness.gatewayOf("lease@x");
    const first = (await lease(gateway)) as { node: string; revision: number };
    expect(first.node).toBe("gateway-1");
    await eventually("renewed", async () => ((await lease(gateway)) as { revision: number }).revision > first.revision);
    const pong = await kit.link.nc.request(SUBJECTS.gatewayPing(gateway), "", { timeout: 5_000 });
    expect(pong.string()).toBe("gateway-1");
  });

  test("swept: it says which sessions are open until it is answered; not those that ended, or were never registered", async () => {
    const gone = await connect("swept-gone@x");
    await connect("swept@x");
    await connect("swept@x", "laptop");
    const gateway = await awareness.gatewayOf("swept@x");
    awareness.onEvent = async (event) => {
      if (event.eid === "swept-new@x") throw new Error("not registered");
      return { epoch: BigInt(++awareness.revision) };
    };
    await kit.device("swept-new@x", "phone");
    let tries = 0;
    awareness.onHold = async () => {
      if (++tries > 2) return {};
      await gone.close();
      throw new Error("not this time");
    };
    awareness.holds.length = 0;
    await awareness.sweep(gateway);
    const answered = await eventually("answered", () => (tries > 2 ? awareness.holds.at(-1) : undefined), 30_000);
    expect(awareness.holds[0]).toMatchObject({ node: "gateway-1", gateway });
    const names = answered.sessions.map(({ eid, device }) => `${eid} ${device}`);
    expect(names).toContain("swept@x phone");
    expect(names).toContain("swept@x laptop");
    expect(names).not.toContain("swept-gone@x phone");
    expect(names).not.toContain("swept-new@x phone");
    const opened = awareness.events.find(({ eid, device }) => eid === "swept@x" && device === "laptop");
    const held = answered.sessions.find(({ eid, device }) => eid === "swept@x" && device === "laptop");
    expect(held).toMatchObject({
      sessionId: opened?.sessionId,
      timestamp: opened?.timestamp,
      address: opened?.address,
    });
  });

  test("an end is told until it is heard, at the time when it was", async () => {
    const device = await connect("ends@x");
    const ends = () => awareness.events.filter(({ eid, open }) => eid === "ends@x" && !open);
    const { sessionId } = awareness.events.find(({ eid }) => eid === "ends@x") ?? {};
    awareness.onEvent = async () => {
      throw new Error("not answered");
    };
    const endedAtMs = Date.now();
    await device.close();
    await eventually("told three times", () => ends().length === 3);
    let isHeard = false;
    awareness.onEvent = async () => {
      isHeard = true;
      return { epoch: BigInt(++awareness.revision) };
    };
    await eventually("heard", () => isHeard);
    for (const end of ends()) {
      expect(end.sessionId).toBe(sessionId);
      expect(Math.abs(Number(end.timestamp) - endedAtMs)).toBeLessThan(1_000);
    }
  });
});

test("NATS restarts: the lease is renewed, open sessions are told, each gets a new snapshot with what it missed", async () => {
  const own = await startGatewayAlone();
  try {
    const device = await own.device("back@x", "phone");
    await device.until("body");
    own.awareness.onSnapshot = async () => ({
      revision: 5_000n,
      entries: [{ eid: "a@x", awareness: awarenessOf("a@x", { status: 2 }) }],
      requests: [contactBytes({ trackingId: "asks", action: 1 })],
    });
    own.awareness.holds.length = 0;
    await own.nats.kill("SIGKILL");
    device.awareness({ id: "while away", status: 3 });
    await own.nats.restart();
    await eventually("a new snapshot", () => snapshotsOf(device).length === 2);
    expect(snapshotsOf(device)[1]?.awarenessList).toMatchObject([{ from: { eid: "a@x" }, status: 2 }]);
    expect(await device.until("awarenessContact")).toMatchObject({ trackingId: "asks" });
    const held = await eventually("held", () => own.awareness.holds.flatMap(({ sessions }) => sessions)[0]);
    expect(held).toMatchObject({ eid: "back@x", device: "phone" });
    await eventually("what was said meanwhile", () => own.awareness.states.length > 0);
    expect(device.of("error")).toEqual([]);
    const bucket = await new Kvm(own.link.nc).open(BUCKETS.gateways);
    const gateway = await own.awareness.gatewayOf("back@x");
    const before = (await bucket.get(gateway))?.revision ?? 0;
    await eventually("renewed", async () => ((await bucket.get(gateway))?.revision ?? 0) > before);
  } finally {
    await own.stop();
  }
});

test("awareness lost what it kept: sessions get a new snapshot, and hear of changes though their revisions are low", async () => {
  const own = await startGatewayAlone();
  try {
    own.awareness.revision = 90_000;
    const [one, other] = [await own.device("lost-a@x", "phone"), await own.device("lost-b@x", "phone")];
    await Promise.all([one.until("body"), other.until("body")]);
    await own.awareness.tell(change(["lost-a@x", "lost-b@x"], "a@x", 95_000, { status: 3 }));
    await eventually("told", () => flat(one).length === 1 && flat(other).length === 1);
    own.awareness.revision = 4;
    const { sessionId = "" } = own.awareness.events.find(({ eid }) => eid === "lost-a@x") ?? {};
    const init = { device: "phone", sessionId, epoch: 95_001n };
    own.link.nc.publish(SUBJECTS.claim("lost-a@x"), toBinary(SessionClaimSchema, create(SessionClaimSchema, init)));
    await eventually("new snapshots", () => snapshotsOf(one).length >= 2 && snapshotsOf(other).length === 2);
    await own.awareness.tell(change(["lost-a@x", "lost-b@x"], "a@x", 5, { status: 4 }));
    await eventually("told", () => flat(one).length === 2 && flat(other).length === 2);
    expect([flat(one), flat(other)]).toEqual([
      ["a@x 3", "a@x 4"],
      ["a@x 3", "a@x 4"],
    ]);
  } finally {
    await own.stop();
  }
});

test("the stop tells that all sessions ended, then takes the lease away", async () => {
  const own = await startGatewayAlone();
  try {
    await own.device("last@x", "phone");
    const gateway = await own.awareness.gatewayOf("last@x");
    const order: string[] = [];
    const bucket = await new Kvm(own.link.nc).open(BUCKETS.gateways);
    const watch = await bucket.watch({ key: gateway });
    void (async () => {
      for await (const { operation } of watch) if (operation === "DEL") order.push("lease gone");
    })();
    own.awareness.onEvent = async ({ open }) => {
      await delay(300);
      if (!open) order.push("end told");
      return { epoch: 99n };
    };
    await own.stopGateway();
    await eventually("both", () => order.length === 2);
    expect(order).toEqual(["end told", "lease gone"]);
  } finally {
    await own.stop();
  }
});

test("the stop ends while NATS is away", async () => {
  const own = await startGatewayAlone();
  const device = await own.device("stuck@x", "phone");
  await device.until("body");
  await own.nats.kill("SIGKILL");
  const beganAtMs = performance.now();
  await own.stopGateway();
  expect(performance.now() - beganAtMs).toBeLessThan(14_000);
  await own.nats.restart();
  await own.stop();
});
