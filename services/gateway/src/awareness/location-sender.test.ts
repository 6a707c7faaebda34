// The positions of one device; awareness's answers are the test's. Shows how often they are told, and which.
import { LocationRequestSchema, LocationResponseSchema } from "@bimip/protocol";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { LocationSender } from "./location-sender.js";

function setUp() {
  const asked: { readonly said: number; readonly order: number; answer(code?: number): void; fail(): void }[] = [];
  const failures: string[] = [];
  const link = {
    up: true,
    nc: {
      request: (_subject: string, bytes: Uint8Array): Promise<{ data: Uint8Array }> =>
        new Promise((resolve, reject) => {
          const { location, order } = fromBinary(LocationRequestSchema, bytes);
          asked.push({
            said: location[0] ?? -1,
            order: Number(order),
            answer(code = 0) {
              const response = create(LocationResponseSchema, { code, details: "to.eid: is no contact" });
              resolve({ data: toBinary(LocationResponseSchema, response) });
            },
            fail: () => reject(new Error("timeout")),
          });
        }),
    },
  };
  let register: () => void = () => undefined;
  const registered = new Promise<void>((resolve) => {
    register = resolve;
  });
  const session = {
    eid: "a@x",
    device: "phone",
    awareness: { registered: () => registered },
    fail: ({ code, details, id }: { code: number; details: string; id?: string }) =>
      failures.push(`${code} ${details} of ${id}`),
  };
  const settings: Promise<void>[] = [];
  const inOrder = { settled: async () => void (await Promise.all(settings)) };
  const gateway = { link, node: "n" } as unknown as Gateway;
  const sender = new LocationSender(gateway, session as unknown as Session, inOrder);
  const say = (n: number): void => sender.say({ id: `l${n}`, bytes: Uint8Array.of(n) });
  return { asked, failures, link, register, settings, sender, say };
}

beforeEach(() => {
  vi.useFakeTimers({ now: 5_000 });
});
afterEach(() => {
  vi.useRealTimers();
});
const after = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

test("one in 100 ms, the newest, the last one in any case; each has a higher order", async () => {
  const { asked, register, say } = setUp();
  register();
  for (let n = 0; n < 55; n++) {
    say(n);
    await after(0);
    asked.at(-1)?.answer();
    await after(10);
  }
  await after(1_000);
  expect(asked.map(({ said }) => said)).toEqual([0, 9, 19, 29, 39, 49, 54]);
  const orders = asked.map(({ order }) => order);
  expect(orders).toEqual(orders.toSorted((one, other) => one - other));
  expect(new Set(orders).size).toBe(orders.length);
  expect(orders[0]).toBe(5_000);
});

test("one is under way at a time; then the newest follows at once", async () => {
  const { asked, register, say } = setUp();
  register();
  say(1);
  await after(0);
  for (const n of [2, 3, 4]) say(n);
  await after(1_500);
  expect(asked.map(({ said }) => said)).toEqual([1]);
  asked[0]?.answer();
  await after(0);
  expect(asked.map(({ said }) => said)).toEqual([1, 4]);
});

test("before the registration nothing is told, then the newest", async () => {
  const { asked, register, say } = setUp();
  for (const n of [1, 2, 3]) say(n);
  await after(5_000);
  expect(asked).toEqual([]);
  register();
  await after(1_000);
  expect(asked.map(({ said }) => said)).toEqual([3]);
});

test("it waits for a block or the like that was said before it; then the newest is told", async () => {
  const { asked, register, settings, say } = setUp();
  register();
  let settle: () => void = () => undefined;
  settings.push(
    new Promise<void>((resolve) => {
      settle = resolve;
    }),
  );
  for (const n of [1, 2]) say(n);
  await after(5_000);
  expect(asked).toEqual([]);
  settle();
  await after(0);
  expect(asked.map(({ said }) => said)).toEqual([2]);
});

test("a refusal is told; no answer, or no NATS, is not, and nothing is said again", async () => {
  const { asked, failures, link, register, say } = setUp();
  register();
  say(1);
  await after(0);
  asked[0]?.answer(403);
  await after(200);
  expect(failures).toEqual(["403 location_stream.to.eid: is no contact of l1"]);
  say(2);
  await after(0);
  asked[1]?.fail();
  await after(200);
  link.up = false;
  say(3);
  await after(200);
  link.up = true;
  await after(1_000);
  expect([asked.length, failures.length]).toEqual([2, 1]);
});

test("the session's end lets go of what waits", async () => {
  const { asked, register, sender, say } = setUp();
  register();
  say(1);
  await after(0);
  asked[0]?.answer();
  say(2);
  await after(10);
  sender.end();
  await after(1_000);
  expect(asked).toHaveLength(1);
});
