// RESUMEs and receipts at bad moments, and a log that is recreated under a connected device; real nats-server and sockets.
import { jetstreamManager } from "@nats-io/jetstream";
import { call, connectNats, ensureTopology, type Link, logStream, PROCEDURES, partitionOf } from "@bimip/nats";
import { SignalSchema, SignalStatus, SignalType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { startSystem, type System } from "../kit/system.js";

const PARTITIONS = 4;
const DEDUPE_WINDOW_S = 2;
const { REQUEST, RESPONSE, ERROR } = SignalType;
const { DELIVERED, READ, RESUME } = SignalStatus;

let system: System;
let link: Link;
let alice: Device;
beforeAll(async () => {
  const env = {
    BIMIP_LOG_PARTITIONS: String(PARTITIONS),
    BIMIP_DEDUPE_WINDOW_S: String(DEDUPE_WINDOW_S),
    BIMIP_PROGRESS_FLUSH_MS: "20",
    BIMIP_POSITION_CHECK_S: "1",
  };
  system = await startSystem({ env });
  link = await connectNats({ servers: system.nats.url, name: "test" });
  alice = await system.device("alice@x", "phone");
});
afterAll(async () => {
  await link.nc.close();
  await system.stop();
});

const ids = (device: Device): string[] => device.of("message").map(({ id }) => id);
const resumes = (device: Device) => device.of("signal").filter(({ status }) => status === RESUME);
const write = (to: string, id: string) => alice.messageSent({ id, to: { eid: to } });
const give = (device: Device, status: SignalStatus, monotonicId: bigint, id = "") =>
  device.send(
    "signal",
    create(SignalSchema, { type: REQUEST, status, monotonicId, id, ...(id && { to: { eid: "alice@x" } }) }),
  );

test("a RESUME that is refused at connect does not cost the automatic replay, nor what comes live", async () => {
  await write("early@x", "m0");
  const phone = await system.device("early@x", "phone", { settle: false });
  phone.resume(999_999n, "beyond");
  expect((await phone.until("signal", ({ id }) => id === "beyond")).type).toBe(ERROR);
  await write("early@x", "m1");
  await phone.count("message", 2);
  expect(ids(phone)).toEqual(["m0", "m1"]);
  expect(resumes(phone).map(({ type }) => type)).toEqual([RESPONSE, ERROR]);
});

test("of a thousand RESUMEs in one write each is answered, the last one by a replay", async () => {
  const { monotonicId } = await write("many@x", "m0");
  const phone = await system.device("many@x", "phone");
  const asked = Array.from({ length: 1_000 }, (_, n) => `r${n}`);
  for (const id of asked) phone.resume(id === "r999" ? -1n : monotonicId, id);
  await eventually("an answer each", () => resumes(phone).length === asked.length + 1);
  expect(new Set(resumes(phone).map(({ id }) => id)).size).toBe(asked.length + 1);
  expect(resumes(phone).at(-1)).toMatchObject({ id: "r999", type: RESPONSE });
  for (const { type, details } of resumes(phone)) if (type === ERROR) expect(details).toContain("overtaken");
  await phone.settle();
  expect(ids(phone)).toEqual(["m0", "m0"]);
});

test("a receipt given before the gateway knows the log counts: the author hears it once, unread falls", async () => {
  const bob = await system.device("hasty@x", "phone");
  await write("hasty@x", "m0");
  const { monotonicId } = await bob.until("message");
  await bob.close();
  await eventually("it is known to be handed over", async () => {
    const { handed } = await call(
      link.nc,
      PROCEDURES.resume,
      { eid: "hasty@x", device: "phone", after: 0n, timestamp: BigInt(Date.now()) },
      1_000,
    );
    return handed === monotonicId;
  });
  const heard = () =>
    alice.of("signal").filter(({ status, id, from }) => status === READ && id === "m0" && from?.eid === "hasty@x");
  const beganMs = Date.now();
  for (let round = 0; Date.now() - beganMs < DEDUPE_WINDOW_S * 1_500 || round < 3; round++) {
    const again = await system.device("hasty@x", round % 2 === 0 ? "phone" : "tablet", { settle: false });
    give(again, READ, monotonicId, "m0");
    await again.resumed();
    await again.settle();
    await eventually("unread is 0", async () => {
      const { total } = await call(link.nc, PROCEDURES.unread, { eid: "hasty@x", with: "" }, 1_000);
      return total === 0;
    });
    await again.close();
  }
  await eventually("the author heard it", () => heard().length > 0);
  await alice.settle();
  expect(heard()).toHaveLength(1);
});

test("a log that is recreated under a connected device: it is told, gets what is new, and its cursor is one of the new log", async () => {
  const eid = "recreated@x";
  const bob = await system.device(eid, "phone");
  for (let n = 0; n < 5; n++) await write(eid, `old${n}`);
  await bob.count("message", 5);
  give(bob, DELIVERED, bob.of("message").at(-1)?.monotonicId ?? 0n);
  await bob.settle();
  const jsm = await jetstreamManager(link.nc);
  await jsm.streams.delete(logStream(partitionOf(eid, PARTITIONS)));
  const topology = { partitions: PARTITIONS, replicas: 1, dedupeWindowS: DEDUPE_WINDOW_S, logMaxAgeS: 0 };
  await ensureTopology(link.nc, topology);

  await write(eid, "new0");
  const { monotonicId } = await bob.until("message", ({ id }) => id === "new0");
  const told = await bob.until("signal", ({ status, details }) => status === RESUME && details !== "");
  expect(told.details).toMatch(/^the log was recreated at /);
  await write(eid, "new1");
  await bob.until("message", ({ id }) => id === "new1");
  give(bob, DELIVERED, monotonicId, "new0");
  await bob.settle();
  await bob.close();
  await write(eid, "new2");
  const back = await system.device(eid, "phone");
  expect(ids(back)).toEqual(["new1", "new2"]);
});
