// Which sessions' snapshots are read when; the answers are the test's. Shows that few are asked for at once, and each until it
// is answered.
import type { Link } from "@bimip/nats";
import { SnapshotRequestSchema, SnapshotResponseSchema } from "@bimip/protocol";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { SessionAwareness } from "./session-awareness.js";
import { Snapshots } from "./snapshots.js";

interface Asked {
  readonly eid: string;
  answer(): void;
  fail(): void;
}

function setUp() {
  const asked: Asked[] = [];
  const arrived: string[] = [];
  const errors: unknown[] = [];
  const request = (_subject: string, bytes: Uint8Array): Promise<{ data: Uint8Array }> =>
    new Promise((resolve, reject) => {
      const { eid, revision } = fromBinary(SnapshotRequestSchema, bytes);
      const data = toBinary(SnapshotResponseSchema, create(SnapshotResponseSchema, { revision }));
      asked.push({ eid, answer: () => resolve({ data }), fail: () => reject(new Error("no responders")) });
    });
  const link = { up: true, nc: { request } };
  const snapshots = new Snapshots({ link: link as unknown as Link, onError: (error) => errors.push(error) });
  const session = (eid: string) => {
    const awareness = {
      eid,
      ended: false,
      failures: 0,
      startReading: () => ({ needed: 1, after: "" }),
      failed: () => void awareness.failures++,
      arrived: () => void arrived.push(eid),
    };
    snapshots.add(awareness as unknown as SessionAwareness);
    return awareness;
  };
  return { asked, arrived, errors, link, snapshots, session };
}

/** Lets go on what waits for nothing but its turn. */
const soon = async (): Promise<void> => {
  for (let n = 0; n < 20; n++) await Promise.resolve();
};

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

test("64 at once, the others in their order", async () => {
  const { asked, arrived, session } = setUp();
  const eids = Array.from({ length: 3_000 }, (_, n) => `u${n}`);
  for (const eid of eids) session(eid);
  expect(asked.map(({ eid }) => eid)).toEqual(eids.slice(0, 64));
  asked[5]?.answer();
  await soon();
  expect(asked.map(({ eid }) => eid)).toEqual(eids.slice(0, 65));
  for (let at = 0; at < eids.length; at++) {
    asked[at]?.answer();
    await soon();
  }
  expect(asked).toHaveLength(eids.length);
  expect(arrived).toHaveLength(eids.length);
});

test("one that is not answered is asked for again, behind the others, and said once; one that ended is not", async () => {
  const { asked, arrived, errors, session } = setUp();
  const [first] = [session("a"), session("b")];
  for (let tries = 0; tries < 4; tries++) {
    asked.findLast(({ eid }) => eid === "a")?.fail();
    await soon();
    await vi.advanceTimersByTimeAsync(5_000);
  }
  expect(asked.filter(({ eid }) => eid === "a")).toHaveLength(5);
  expect(errors).toHaveLength(1);
  asked.at(-1)?.answer();
  await soon();
  expect(arrived).toEqual(["a"]);
  first.failures = 0;
  const gone = session("gone");
  asked.at(-1)?.fail();
  await soon();
  gone.ended = true;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked.filter(({ eid }) => eid === "gone")).toHaveLength(1);
});

test("while NATS is away nothing is asked; nor after the stop", async () => {
  const { asked, arrived, link, snapshots, session } = setUp();
  link.up = false;
  session("a");
  await vi.advanceTimersByTimeAsync(10_000);
  expect(asked).toEqual([]);
  link.up = true;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(asked).toHaveLength(1);
  asked[0]?.answer();
  await soon();
  expect(arrived).toEqual(["a"]);
  snapshots.stop();
  session("b");
  await vi.advanceTimersByTimeAsync(10_000);
  expect(asked).toHaveLength(1);
});
