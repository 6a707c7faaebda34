// What follows when NATS returns; the head of what awareness keeps is the test's. Shows when a loss is believed.
import type { Link } from "@bimip/nats";
import { AwarenessFanoutSchema, AwarenessSchema } from "@bimip/protocol";
import { createLogger, createMetrics } from "@bimip/runtime";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createGatewayMetrics } from "../metrics.js";
import type { Users } from "../users.js";
import { GatewayAwareness } from "./gateway-awareness.js";

vi.mock("node:timers/promises", () => ({
  setTimeout: (ms: number) => new Promise<void>((resolve) => void globalThis.setTimeout(resolve, ms)),
}));
beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function setUp() {
  const log: string[] = [];
  const heads: ((head: number | Error) => void)[] = [];
  const session = {
    device: "phone",
    held: undefined,
    fence: { doubt: () => undefined, trust: () => undefined },
    onAnew: () => void log.push("anew"),
    awareness: {
      missed: (head: number) => void log.push(`missed ${head}`),
      take: () => undefined,
    },
  };
  const users = { sessions: () => [session], sessionsOf: () => [session] } as unknown as Users;
  const link = { up: true, nc: { subscribe: () => ({ unsubscribe: () => undefined }) } } as unknown as Link;
  const side = new GatewayAwareness({
    link,
    users,
    node: "n",
    gateway: "g",
    head: () =>
      new Promise((resolve, reject) => {
        heads.push((head) => (typeof head === "number" ? resolve(head) : reject(head)));
      }),
    metrics: createGatewayMetrics(createMetrics("test")),
    logger: createLogger("test", "silent"),
  });
  const take = (revision: number): void => {
    const awareness = toBinary(AwarenessSchema, create(AwarenessSchema, { type: 1, status: 3 }));
    const stanza = { case: "awareness", value: awareness } as const;
    const fanout = create(AwarenessFanoutSchema, { to: ["me@x"], eid: "a@x", revision: BigInt(revision), stanza });
    side.fanouts.take(toBinary(AwarenessFanoutSchema, fanout));
  };
  /** The oldest question for the head that is not answered. */
  const answer = async (head: number | Error): Promise<void> => {
    await vi.advanceTimersByTimeAsync(2_000);
    heads.shift()?.(head);
    await vi.advanceTimersByTimeAsync(0);
  };
  return { side, log, heads, take, answer };
}

test("nothing was lost: all may have missed what came up to the head", async () => {
  const { side, log, take, answer } = setUp();
  take(50);
  side.onReturn();
  await answer(new Error("not yet"));
  await answer(50);
  expect(log).toEqual(["missed 50"]);
  side.stop();
});

test("a change that came after the return, before the head did, is no loss", async () => {
  const { side, log, take, answer } = setUp();
  take(50);
  side.onReturn();
  take(52);
  await answer(51);
  expect(log).toEqual(["missed 51"]);
  side.stop();
});

test("a head behind what came before: all begin anew, then hear of a head that was asked for after that", async () => {
  const { side, log, heads, take, answer } = setUp();
  take(50);
  side.onReturn();
  await answer(3);
  expect(log).toEqual(["anew"]);
  expect(side.fanouts.highest).toBe(0);
  await answer(4);
  expect(log).toEqual(["anew", "missed 4"]);
  expect(heads).toEqual([]);
  side.stop();
});
