// What the registry is told of open sessions, and when; its answers are the test's.
import type { Link } from "@bimip/nats";
import { HoldRequestSchema, HoldResponseSchema } from "@bimip/protocol";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Users } from "../users.js";
import { Holds } from "./holds.js";

const TOLD = toBinary(HoldResponseSchema, create(HoldResponseSchema));

function setUp(count: number) {
  const sessions = Array.from({ length: count }, (_, n) => ({
    held: { eid: `u${n}`, device: "phone" } as { eid: string; device: string } | undefined,
  }));
  const asked: { readonly eids: string[]; answer(): void; fail(): void }[] = [];
  const link = {
    up: true,
    nc: {
      request: (_subject: string, bytes: Uint8Array): Promise<{ data: Uint8Array }> =>
        new Promise((resolve, reject) => {
          const { sessions: held, node, gateway } = fromBinary(HoldRequestSchema, bytes);
          expect([node, gateway]).toEqual(["node", "process"]);
          const eids = held.map(({ eid }) => eid);
          asked.push({ eids, answer: () => resolve({ data: TOLD }), fail: () => reject(new Error("timeout")) });
        }),
    },
  };
  const errors: unknown[] = [];
  const holds = new Holds({
    link: link as unknown as Link,
    users: { sessions: () => sessions } as unknown as Users,
    node: "node",
    gateway: "process",
    onError: (error) => errors.push(error),
  });
  return { sessions, asked, errors, link, holds };
}

// By the timer of the moment, which may be a fake one.
vi.mock("node:timers/promises", () => ({
  setTimeout: (ms: number) => new Promise<void>((resolve) => void globalThis.setTimeout(resolve, ms)),
}));
beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("all of them: 256 in a request, four requests at once, until all are told", async () => {
  const { asked, holds } = setUp(2_000);
  holds.all();
  expect(asked.map(({ eids }) => eids.length)).toEqual([256, 256, 256, 256]);
  for (let at = 0; at < asked.length; at++) {
    asked[at]?.answer();
    await vi.advanceTimersByTimeAsync(0);
  }
  expect(new Set(asked.flatMap(({ eids }) => eids)).size).toBe(2_000);
  expect(asked).toHaveLength(8);
  holds.stop();
});

test("what is not answered is told again, without those that ended meanwhile; errors are said once", async () => {
  const { sessions, asked, errors, holds } = setUp(3);
  holds.all();
  asked[0]?.fail();
  (sessions[1] as { held: undefined }).held = undefined;
  await vi.advanceTimersByTimeAsync(1_000);
  asked[1]?.fail();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(asked.map(({ eids }) => eids)).toEqual([
    ["u0", "u1", "u2"],
    ["u0", "u2"],
    ["u0", "u2"],
  ]);
  asked[2]?.answer();
  await vi.advanceTimersByTimeAsync(5_000);
  expect([asked.length, errors.length]).toEqual([3, 1]);
  holds.stop();
});

test("nobody is here: nothing is told, and it can be asked for again", async () => {
  const { asked, holds } = setUp(0);
  holds.all();
  holds.all();
  await vi.advanceTimersByTimeAsync(120_000);
  expect(asked).toEqual([]);
  holds.stop();
});

test("in turn every session once in 30 s, some each second; not while NATS is away", async () => {
  const { asked, link, holds } = setUp(100);
  link.up = false;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toEqual([]);
  link.up = true;
  for (let second = 0; second < 30; second++) {
    await vi.advanceTimersByTimeAsync(1_000);
    asked.at(-1)?.answer();
  }
  const told = asked.flatMap(({ eids }) => eids);
  expect(new Set(told).size).toBe(100);
  expect(told).toHaveLength(100);
  for (const { eids } of asked) expect(eids.length).toBeLessThanOrEqual(4);
  holds.stop();
});
