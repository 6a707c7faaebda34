// When storage is asked which receipts were given; its answer and the clock are the test's.
import { create } from "@bufbuild/protobuf";
import { type ReceiptsResponse, ReceiptsResponseSchema } from "@bimip/protocol";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { ReceiptsGiven } from "./receipts-given.js";

const WINDOW_MS = 120_000;
const NOW = 1_732_365_000_000;
const OLD = NOW - WINDOW_MS;
const bob = { eid: "bob@x", logEpoch: 5 };

beforeEach(() => {
  vi.useFakeTimers({ now: NOW, toFake: ["Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

function ledger(answer: () => ReceiptsResponse) {
  const asked: string[] = [];
  const given = new ReceiptsGiven({
    dedupeWindowMs: WINDOW_MS,
    ask: async (eid) => {
      asked.push(eid);
      return answer();
    },
  });
  return { asked, given };
}

const some = () => create(ReceiptsResponseSchema, { epoch: 5n, receipts: [{ status: 5, indexes: [3n, 70n] }] });

it("leaves messages of the last half window to JetStream", async () => {
  const { asked, given } = ledger(some);
  expect(await given.has(bob, 5, 3, NOW)).toBe(false);
  expect(await given.has(bob, 5, 3, NOW - WINDOW_MS / 2 + 1)).toBe(false);
  expect(asked).toEqual([]);
  expect(await given.has(bob, 5, 3, NOW - WINDOW_MS / 2)).toBe(true);
});

it("knows user, log, status and index apart, and asks once for an eighth of the window", async () => {
  const { asked, given } = ledger(some);
  expect(await given.has(bob, 5, 70, OLD)).toBe(true);
  expect(await given.has(bob, 5, 4, OLD)).toBe(false);
  expect(await given.has(bob, 4, 70, OLD)).toBe(false);
  expect(await given.has({ ...bob, logEpoch: 6 }, 5, 70, OLD)).toBe(false);
  expect(asked).toEqual(["bob@x"]);
  await given.has({ eid: "carol@x", logEpoch: 5 }, 5, 70, OLD);
  vi.setSystemTime(NOW + WINDOW_MS / 8 - 1);
  await given.has(bob, 5, 70, OLD);
  expect(asked).toEqual(["bob@x", "carol@x"]);
  vi.setSystemTime(NOW + WINDOW_MS / 8);
  await given.has(bob, 5, 70, OLD);
  expect(asked).toEqual(["bob@x", "carol@x", "bob@x"]);
});

it("rejects when storage does not answer, and asks again at the next call", async () => {
  let fails = true;
  const { asked, given } = ledger(() => {
    if (fails) throw new Error("nobody listens");
    return some();
  });
  await expect(given.has(bob, 5, 3, OLD)).rejects.toThrow("nobody listens");
  fails = false;
  expect(await given.has(bob, 5, 3, OLD)).toBe(true);
  expect(asked).toHaveLength(2);
});
