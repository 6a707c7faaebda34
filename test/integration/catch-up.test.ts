// Live copies are at most once. Here they are really lost, and the log makes up for it.
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { connectNats, type Link, logStream, partitionOf } from "@bimip/nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { startSystem, type System } from "../kit/system.js";

const PARTITIONS = 4;

const ids = (device: Device): string[] => device.of("message").map(({ id }) => id);
const names = (count: number): string[] => Array.from({ length: count }, (_, n) => `m${n}`);

/** A system whose NATS can be made to lose the copies of one user's partition. */
async function startLossy(env: Record<string, string>) {
  const system = await startSystem({ env: { BIMIP_LOG_PARTITIONS: String(PARTITIONS), ...env } });
  const link: Link = await connectNats({ servers: system.nats.url, name: "test" });
  const jsm: JetStreamManager = await jetstreamManager(link.nc);
  return {
    system,
    jsm,
    /** What is stored during `work` is not republished. */
    async losingCopies(eid: string, work: () => Promise<unknown>): Promise<void> {
      const stream = logStream(partitionOf(eid, PARTITIONS));
      const { republish, ...config } = (await jsm.streams.info(stream)).config;
      if (republish === undefined) throw new Error(`${stream} republishes nothing`);
      // Left out it would stay as it is.
      await jsm.streams.update(stream, { ...config, republish: { src: "bimip.log.none.none", dest: "nowhere" } });
      await work();
      await jsm.streams.update(stream, { ...config, republish });
    },
    /** A gateway's metric, 0 when it was never set. */
    async metric(name: string, reason: string): Promise<number> {
      const text = await (await fetch(new URL("/metrics", system.urls[0]?.replace("ws:", "http:")))).text();
      const line = text.split("\n").find((row) => row.startsWith(`${name}{`) && row.includes(`reason="${reason}"`));
      return Number(line?.split(" ").at(-1) ?? 0);
    },
    async stop() {
      await link.nc.close();
      await system.stop();
    },
  };
}

const STARTS = "bimip_gateway_catch_up_total";
const NOW = "bimip_gateway_catch_up_sessions";

describe("while nobody compares positions", () => {
  let lossy: Awaited<ReturnType<typeof startLossy>>;
  let system: System;
  beforeAll(async () => {
    lossy = await startLossy({ BIMIP_POSITION_CHECK_S: "3600" });
    ({ system } = lossy);
  });
  afterAll(() => lossy.stop());

  test("lost copies in the middle are healed by the next copy that comes", async () => {
    const [alice, phone, laptop] = [
      await system.device("gap-a@x", "phone"),
      await system.device("gap-b@x", "phone"),
      await system.device("gap-b@x", "laptop"),
    ];
    const send = (id: string) => alice.messageSent({ id, to: { eid: "gap-b@x" } });
    await send("m0");
    await phone.count("message", 1);
    const before = await lossy.metric(STARTS, "gap");
    await lossy.losingCopies("gap-b@x", async () => {
      for (const id of ["m1", "m2", "m3"]) await send(id);
    });
    await phone.settle();
    expect(ids(phone)).toEqual(["m0"]); // really lost
    await send("m4");
    for (const device of [phone, laptop]) {
      await device.count("message", 5);
      await device.settle();
      expect(ids(device)).toEqual(names(5));
    }
    expect(await lossy.metric(STARTS, "gap")).toBe(before + 2);
    await eventually("live again", async () => (await lossy.metric(NOW, "gap")) === 0);
    await send("m5");
    await phone.count("message", 6);
    expect(await lossy.metric(STARTS, "gap")).toBe(before + 2);
  });

  test("NATS goes and comes back: what was stored meanwhile is fetched", async () => {
    const alice = await system.device("away-a@x", "phone");
    const phone = await system.device("away-b@x", "phone");
    await alice.messageSent({ id: "m0", to: { eid: "away-b@x" } });
    await phone.count("message", 1);
    await system.nats.kill("SIGKILL");
    alice.message({ id: "m1", to: { eid: "away-b@x" } });
    await system.nats.restart();
    await alice.sent("m1", "away-b@x");
    await phone.count("message", 2);
    await phone.settle();
    expect(ids(phone)).toEqual(names(2));
    expect(await lossy.metric(STARTS, "reconnect")).toBeGreaterThan(0);
  });

  test("a socket that does not read gets its log when it does, all of it, in order; then live again", async () => {
    const total = 350; // some 20 MB: more than the kernel's buffers take
    const alice = await system.device("slow-a@x", "machine", { scope: "no-copy" });
    const phone = await system.device("slow-b@x", "phone");
    const text = "x".repeat(60_000);
    phone.socket.pause();
    for (let n = 0; n < total; n++) {
      alice.message({ id: `m${n}`, to: { eid: "slow-b@x" }, payload: { data: { text } } });
      if (n % 50 === 49) await alice.count("signal", n + 1);
    }
    await alice.count("signal", total + 1);
    expect(await lossy.metric(STARTS, "slow")).toBeGreaterThan(0);
    await eventually("it reads no more", async () => (await lossy.metric(NOW, "slow")) === 1);
    phone.socket.resume();
    await phone.count("message", total);
    await eventually("live again", async () => (await lossy.metric(NOW, "slow")) === 0);
    await alice.messageSent({ id: `m${total}`, to: { eid: "slow-b@x" } });
    await phone.count("message", total + 1);
    await phone.settle();
    expect(ids(phone)).toEqual(names(total + 1));
  });
});

describe("with positions compared every second", () => {
  let lossy: Awaited<ReturnType<typeof startLossy>>;
  beforeAll(async () => {
    lossy = await startLossy({ BIMIP_POSITION_CHECK_S: "1" });
  });
  afterAll(() => lossy.stop());

  test("a lost last copy comes without any further message", async () => {
    const { system } = lossy;
    const alice = await system.device("tail-a@x", "phone");
    const laptop = await system.device("tail-a@x", "laptop");
    const phone = await system.device("tail-b@x", "phone");
    await alice.messageSent({ id: "m0", to: { eid: "tail-b@x" } });
    await phone.count("message", 1);
    const copies = partitionOf("tail-a@x", PARTITIONS) === partitionOf("tail-b@x", PARTITIONS);
    await lossy.losingCopies("tail-b@x", () => alice.messageSent({ id: "m1", to: { eid: "tail-b@x" } }));
    await phone.count("message", 2);
    await laptop.count("message", 2);
    expect(ids(phone)).toEqual(names(2));
    expect(await lossy.metric(STARTS, "position")).toBe(copies ? 3 : 1);
    expect(await lossy.metric(STARTS, "gap")).toBe(0);
  });

  test("who has everything is left alone", async () => {
    const { system } = lossy;
    const alice = await system.device("calm-a@x", "phone");
    const phone = await system.device("calm-b@x", "phone");
    const before = await lossy.metric(STARTS, "position");
    const endsAtMs = performance.now() + 2_500; // two rounds
    let sent = 0;
    while (performance.now() < endsAtMs) await alice.messageSent({ id: `m${sent++}`, to: { eid: "calm-b@x" } });
    await phone.count("message", sent);
    expect(await lossy.metric(STARTS, "position")).toBe(before);
  });
});
