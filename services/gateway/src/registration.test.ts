// How a session is kept in the registry, whose answers are the test's. Shows that its end is told however long that takes.
import type { Link } from "@bimip/nats";
import { SessionEventResSchema, SessionEventSchema } from "@bimip/protocol";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Registration, Registrations } from "./registration.js";

function setUp() {
  const told: string[] = [];
  const world = { answers: true };
  const link = {
    up: true,
    nc: {
      request: async (_subject: string, bytes: Uint8Array): Promise<{ data: Uint8Array }> => {
        const { sessionId, open, timestamp, gateway } = fromBinary(SessionEventSchema, bytes);
        told.push(`${open ? "open" : "end"} ${sessionId} at ${timestamp} on ${gateway}`);
        if (!world.answers) throw new Error("no responders");
        return { data: toBinary(SessionEventResSchema, create(SessionEventResSchema, { epoch: 7n })) };
      },
    },
  };
  const registrations = new Registrations();
  const gateway = { link: link as unknown as Link, registrations, node: "node", process: "process" };
  const epochs: number[] = [];
  const open = (sessionId: string): Registration =>
    new Registration(gateway, {
      id: sessionId,
      eid: "a@x",
      device: "phone",
      address: "::1",
      onEpoch: (epoch) => void epochs.push(epoch),
    });
  return { told, world, link, registrations, epochs, open };
}

// By the timer of the moment, which may be a fake one.
vi.mock("node:timers/promises", () => ({
  setTimeout: (ms: number) => new Promise<void>((resolve) => void globalThis.setTimeout(resolve, ms)),
}));
beforeEach(() => {
  vi.useFakeTimers({ now: 1_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

test("opening and end are told with their own times, once each", async () => {
  const { told, epochs, open } = setUp();
  const registration = open("s");
  await vi.advanceTimersByTimeAsync(500);
  expect(registration.held).toMatchObject({
    eid: "a@x",
    device: "phone",
    sessionId: "s",
    address: "::1",
    timestamp: 1_000n,
  });
  await registration.end();
  expect([told, epochs]).toEqual([["open s at 1000 on process", "end s at 1500 on process"], [7]]);
});

test("an end that nobody hears is told for as long as it takes, at the time when it was", async () => {
  const { told, world, open } = setUp();
  const registration = open("s");
  await vi.advanceTimersByTimeAsync(0);
  world.answers = false;
  let done = false;
  void registration.end().then(() => {
    done = true;
  });
  await vi.advanceTimersByTimeAsync(600_000);
  expect(done).toBe(false);
  expect(told.length).toBeGreaterThan(100);
  world.answers = true;
  await vi.advanceTimersByTimeAsync(4_000);
  expect(done).toBe(true);
  expect(new Set(told)).toEqual(new Set(["open s at 1000 on process", "end s at 1000 on process"]));
});

test("a newer session of the device waits for the older one's end", async () => {
  const { told, world, open } = setUp();
  const older = open("old");
  await vi.advanceTimersByTimeAsync(0);
  world.answers = false;
  void older.end();
  open("new");
  await vi.advanceTimersByTimeAsync(10_000);
  expect(told.some((line) => line.startsWith("open new"))).toBe(false);
  world.answers = true;
  await vi.advanceTimersByTimeAsync(4_000);
  expect(told.at(-1)).toBe("open new at 1000 on process");
});

test("who was never told of has no end to tell", async () => {
  const { told, link, epochs, open } = setUp();
  link.up = false;
  const registration = open("s");
  await vi.advanceTimersByTimeAsync(10_000);
  const end = registration.end();
  await vi.advanceTimersByTimeAsync(10_000);
  await end;
  expect([told, epochs]).toEqual([[], []]);
});

test("the gateway's stop gives up", async () => {
  const { world, registrations, open } = setUp();
  const registration = open("s");
  await vi.advanceTimersByTimeAsync(0);
  world.answers = false;
  const end = registration.end();
  await vi.advanceTimersByTimeAsync(10_000);
  registrations.stop();
  await vi.advanceTimersByTimeAsync(5_000);
  await end;
});
