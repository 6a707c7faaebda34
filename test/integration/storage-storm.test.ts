// Shows: a storm of devices that come back at once, with the time-outs and repeats of gateways, is over after few questions.
// Cannot show: several replicas of storage sharing it on CPUs of their own.
import { setTimeout as delay } from "node:timers/promises";
import { call, type Procedure, PROCEDURES, serve } from "@bimip/nats";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startStorage, type StorageKit } from "../kit/storage.js";

const TIMEOUT_MS = 2_000;
const RETRY_MS = 50;

let kit: StorageKit;

beforeAll(async () => {
  kit = await startStorage();
});
afterAll(() => kit.stop());

/** Asks as a gateway does, until it is answered; tells of each question. */
async function resume(eid: string, onAsk: () => void): Promise<void> {
  for (;;) {
    try {
      onAsk();
      const request = { eid, device: "phone", after: 0n, timestamp: BigInt(Date.now()) };
      await call(kit.link.nc, PROCEDURES.resume, request, TIMEOUT_MS);
      return;
    } catch {
      await delay(RETRY_MS);
    }
  }
}

test("5,000 devices come back at once: all are answered, none asks many times", async () => {
  const devices = 5_000;
  let asked = 0;
  await Promise.all(Array.from({ length: devices }, (_, n) => resume(`storm ${n}`, () => asked++)));
  expect(asked).toBeLessThan(6 * devices);
});

test("so many questions are worked on at once, the others wait; whose caller has given up is not worked on", async () => {
  const { request, response } = PROCEDURES.unread;
  const slow: Procedure<typeof request, typeof response> = { subject: "test.slow", request, response };
  let working = 0;
  let most = 0;
  let handled = 0;
  let dropped = 0;
  const subscription = serve(
    kit.link.nc,
    slow,
    "test",
    async () => {
      most = Math.max(most, ++working);
      handled++;
      await delay(100);
      working--;
      return {};
    },
    (error) => expect(error).toBeUndefined(),
    { places: 2, maxWaitMs: 1_000, onDropped: () => dropped++ },
  );
  const questions = 100;
  const answers = await Promise.allSettled(
    Array.from({ length: questions }, () => call(kit.link.nc, slow, {}, TIMEOUT_MS)),
  );
  const answered = answers.filter(({ status }) => status === "fulfilled").length;
  expect(most).toBe(2);
  expect(answered).toBe(handled);
  expect(handled + dropped).toBe(questions);
  expect(dropped).toBeGreaterThan(questions / 2);
  subscription.unsubscribe();
});
