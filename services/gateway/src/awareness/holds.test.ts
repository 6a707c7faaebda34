// What the registry is told of open sessions, and when; its answers are the test's.
import type { Link } from "@bimip/nats";
import { HoldRequestSchema, HoldResponseSchema } from "@bimip/protocol";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Users } from "../users.js";
import { Holds } from "./holds.js";

const told = (stale: string[] = []): Uint8Array => toBinary(HoldResponseSchema, create(HoldResponseSchema, { stale }));

function setUp(count: number) {
  /** What happened to sessions, in order. */
  const log: string[] = [];
  const sessions = Array.from({ length: count }, (_, n) => ({
    id: `s${n}`,
    held: { eid: `u${n}`, device: "phone" } as { eid: string; device: string } | undefined,
    replace: () => void log.push(`s${n} replaced`),
    fence: { doubt: () => void log.push(`s${n} in doubt`), trust: () => void log.push(`s${n} trusted`) },
  }));
  const asked: { readonly eids: string[]; answer(stale?: string[]): void; fail(): void }[] = [];
  const link = {
    up: true,
    nc: {
      request: (_subject: string, bytes: Uint8Array): Promise<{ data: Uint8Array }> =>
        new Promise((resolve, reject) => {
          const { sessions: held, node, gateway } = fromBinary(HoldRequestSchema, bytes);
          expect([node, gateway]).toEqual(["node", "process"]);
          const eids = held.map(({ eid }) => eid);
          asked.push({
            eids,
            answer: (stale) => resolve({ data: told(stale) }),
            fail: () => reject(new Error("timeout")),
          });
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
  return { sessions, asked, errors, link, holds, log };
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
  const toldOf = asked.flatMap(({ eids }) => eids);
  expect(new Set(toldOf).size).toBe(100);
  expect(toldOf).toHaveLength(100);
  for (const { eids } of asked) expect(eids.length).toBeLessThanOrEqual(4);
  holds.stop();
});

test("sessions that a newer one took over from end, in a round as after a return; the others are trusted again", async () => {
  const { asked, holds, log } = setUp(3);
  holds.all();
  expect(log).toEqual(["s0 in doubt", "s1 in doubt", "s2 in doubt"]);
  asked[0]?.fail();
  await vi.advanceTimersByTimeAsync(500);
  expect(log).toHaveLength(3);
  asked[1]?.answer(["s1", "s9"]);
  await vi.advanceTimersByTimeAsync(0);
  expect(log.slice(3)).toEqual(["s1 replaced", "s0 trusted", "s1 trusted", "s2 trusted"]);
  await vi.advanceTimersByTimeAsync(60_000);
  asked[2]?.answer([asked[2].eids[0] === "u2" ? "s2" : "s0"]);
  await vi.advanceTimersByTimeAsync(0);
  expect(log.filter((line) => line.endsWith("replaced"))).toHaveLength(2);
  holds.stop();
});

test("a registry that does not answer keeps nobody in doubt for longer than 2 s", async () => {
  const { asked, holds, log } = setUp(600);
  holds.all();
  for (let at = 0; at < 10; at++) {
    await vi.advanceTimersByTimeAsync(190);
    for (const one of asked) one.fail();
  }
  expect(log.filter((line) => line.endsWith("trusted"))).toEqual([]);
  await vi.advanceTimersByTimeAsync(100);
  expect(new Set(log.filter((line) => line.endsWith("trusted"))).size).toBe(600);
  holds.stop();
});
