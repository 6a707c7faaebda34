// What a gateway that cannot keep up refuses, what it drops, and what goes on nevertheless.
import { SignalSchema, SignalStatus, SignalType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { startSystem, type System } from "../kit/system.js";

const LAG_MS = 200;

let system: System;
const changes: string[] = [];
beforeAll(async () => {
  system = await startSystem({
    env: { BIMIP_SHED_LAG_MS: String(LAG_MS) },
    onLog(line) {
      const { msg, reason } = JSON.parse(line) as { msg?: string; reason?: string };
      if (msg?.includes("overloaded")) changes.push(`${reason}: ${msg}`);
    },
  });
});
afterAll(() => system.stop());

const metric = async (pattern: string): Promise<number> =>
  Number(new RegExp(`^${pattern}.* (\\S+)$`, "m").exec(await system.metrics())?.[1] ?? 0);
const shedding = (): Promise<number> => metric('bimip_gateway_shedding\\{reason="lag"');

/** Keeps the event loop, which is the gateway's as well, busy while the work is done. */
async function overload(work: () => Promise<void>): Promise<void> {
  let isOver = false;
  const block = (): void => {
    const untilMs = performance.now() + 2 * LAG_MS;
    while (performance.now() < untilMs);
    if (!isOver) setImmediate(block);
  };
  block();
  try {
    await eventually("the gateway sheds", async () => (await shedding()) === 1, 30_000);
    await work();
  } finally {
    isOver = true;
  }
}

test("new connections and messages are refused, what is of the moment is dropped, the rest goes on", async () => {
  const [alice, bob] = await Promise.all([system.device("alice@x", "phone"), system.device("bob@x", "phone")]);
  await alice.messageSent({ id: "before", to: { eid: bob.eid } });
  const [before] = await bob.count("message", 1);
  await overload(async () => {
    const refusal = await system.device("late@x", "phone").then(() => "let in", String);
    expect(refusal).toMatch(/503: .*overloaded/);
    alice.message({ id: "m1", to: { eid: bob.eid } });
    expect(await alice.refusal("m1")).toMatchObject({
      code: 503,
      errorOrigin: 2,
      details: "message: the gateway is overloaded, try again in 1 s",
    });
    const presence = alice.awareness({ status: 4 });
    expect(await alice.refusal(presence)).toMatchObject({ code: 503 });
    const typing = { id: "typing", type: SignalType.REQUEST, status: SignalStatus.TYPING, to: { eid: bob.eid } };
    alice.send("signal", create(SignalSchema, typing));
    alice.location({ latitude: 1, longitude: 1 });
    await alice.settle();
    // A receipt, which moves the cursor as well.
    const read = { id: "before", type: SignalType.REQUEST, status: SignalStatus.READ, to: { eid: alice.eid } };
    bob.send("signal", create(SignalSchema, { ...read, monotonicId: before?.monotonicId ?? 0n }));
    await alice.until("signal", ({ id, status }) => id === "before" && status === SignalStatus.READ);
    expect(bob.of("signal").filter(({ status }) => status === SignalStatus.TYPING)).toEqual([]);
  });
  for (const [what, count] of [
    ["connections", 1],
    ["messages", 1],
    ["awareness", 1],
    ["typing", 1],
    ["location", 1],
  ] as const)
    expect([what, await metric(`bimip_gateway_shed_total\\{what="${what}"`)]).toEqual([what, count]);
  await eventually("the gateway sheds no more", async () => (await shedding()) === 0);
  expect(changes).toEqual([
    "lag: overloaded: new connections and messages are refused",
    "lag: not overloaded any more",
  ]);
  // What was refused must come before what follows it.
  alice.message({ id: "m2", to: { eid: bob.eid } });
  expect(await alice.refusal("m2")).toMatchObject({ code: 503, details: "not stored, try again with the same id" });
  for (const id of ["m1", "m2"]) await alice.messageSent({ id, to: { eid: bob.eid } });
  expect((await bob.count("message", 3)).map(({ id }) => id)).toEqual(["before", "m1", "m2"]);
  await system.device("late@x", "phone");
});

test("beyond its memory a gateway takes nobody in, and is well nevertheless", async () => {
  const small = await startSystem({ env: { BIMIP_SHED_MEMORY_BYTES: "1" } });
  try {
    await eventually("the gateway sheds", async () =>
      /^bimip_gateway_shedding\{reason="memory".* 1$/m.test(await small.metrics()),
    );
    expect(await small.device("a@x", "phone").then(() => "let in", String)).toContain("503: ");
    // Taken out of service, it would leave its load to the others.
    const { status } = await fetch((small.urls[0] ?? "").replace("ws:", "http:").replace("/v1/ws", "/readyz"));
    expect(status).toBe(200);
  } finally {
    await small.stop();
  }
});
