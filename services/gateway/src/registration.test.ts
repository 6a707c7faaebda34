// How a session is kept in the registry, whose answers are the test's. Shows that its end is told however long that takes.
import type { Link } from "@bimip/nats";
import { type SessionEvent, SessionEventResSchema, SessionEventSchema } from "@bimip/protocol";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Registration, Registrations } from "./registration.js";

function setUp() {
  const told: string[] = [];
  const events: SessionEvent[] = [];
  const world = { answers: true, contested: [] as bigint[], onTold: (): void => undefined };
  const link = {
    up: true,
    nc: {
      request: async (_subject: string, bytes: Uint8Array): Promise<{ data: Uint8Array }> => {
        const event = fromBinary(SessionEventSchema, bytes);
        const { sessionId, open, timestamp, gateway } = event;
        told.push(`${open ? "open" : "end"} ${sessionId} at ${timestamp} on ${gateway}`);
        events.push(event);
        world.onTold();
        world.onTold = () => undefined;
        if (!world.answers) throw new Error("no responders");
        const contested = open ? (world.contested.shift() ?? 0n) : 0n;
        const answer = contested > 0n ? { contested } : { epoch: 7n };
        return { data: toBinary(SessionEventResSchema, create(SessionEventResSchema, answer)) };
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
  return { told, events, world, link, registrations, epochs, open };
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

test("sessions are numbered, and say how long they have been open: steadily, whatever the clock does", async () => {
  const { events, world, open } = setUp();
  world.answers = false;
  open("first");
  await vi.advanceTimersByTimeAsync(5_000);
  vi.setSystemTime(0);
  world.answers = true;
  await vi.advanceTimersByTimeAsync(4_000);
  const second = open("second");
  await vi.advanceTimersByTimeAsync(1_000);
  const [tried, last] = [events[0], events.at(-2)];
  expect([tried?.number, tried?.ageMs, tried?.timestamp]).toEqual([1n, 0n, 1_000n]);
  expect([last?.number, last?.timestamp]).toEqual([1n, 1_000n]);
  expect(Number(last?.ageMs)).toBeGreaterThanOrEqual(5_000);
  expect(second.held).toMatchObject({ number: 2n, ageMs: 1_000n });
});

test("where another gateway holds the device, it is asked again, knowing of that session; not once it has ended", async () => {
  const { events, world, epochs, open } = setUp();
  world.contested = [41n, 43n];
  open("s");
  await vi.advanceTimersByTimeAsync(0);
  expect([events.map(({ over }) => over), epochs]).toEqual([[0n, 41n, 43n], [7]]);
  world.contested = [51n];
  const late = open("late");
  world.onTold = () => void late.end();
  await vi.advanceTimersByTimeAsync(0);
  expect(events.slice(3).map(({ open: opens, over }) => [opens, over])).toEqual([
    [true, 0n],
    [false, 0n],
  ]);
});
