import { decodeFrame, TokenTask } from "@bimip/protocol";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { fakeToken } from "../../test-kit/fake-tokens.js";
import { Credentials } from "./credentials.js";
import { Renewal } from "./renewal.js";
import { renewalMs } from "./renewal-time.js";

const DAY_MS = 86_400_000;
const ALICE = "alice@example.com";

beforeEach(() => {
  vi.useFakeTimers({ now: 1_800_000_000_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

const tokenOf = (lifetimeMs?: number): string => fakeToken(ALICE, "laptop", lifetimeMs);

/** A Renewal with a token function, and the tasks that it sent. */
function make(token: () => string) {
  const sent: number[] = [];
  const common = { backoff: {}, timeoutMs: 1_000, onError: () => undefined };
  const credentials = new Credentials({ ...common, token, refreshToken: undefined, tell: async () => "unheard" });
  const renewal = new Renewal({
    ...common,
    credentials,
    ownEid: () => ALICE,
    onToken: () => undefined,
    onRefused: () => undefined,
  });
  const send = (frame: Uint8Array): void => {
    const { kind, value } = decodeFrame(frame).stanza;
    if (kind === "tokenAuthority") sent.push(value.task);
  };
  return { renewal, send, sent };
}

it("renews within the last fifth, but no more than 30 to 45 s before the end", () => {
  expect(renewalMs(tokenOf(900_000), false, () => 0)).toBeCloseTo(870_000, -1);
  expect(renewalMs(tokenOf(900_000), false, () => 1)).toBeCloseTo(855_000, -1);
  expect(renewalMs(tokenOf(10_000), false, () => 0)).toBeCloseTo(8_000, -1);
  expect(renewalMs(tokenOf(10_000), false, () => 1)).toBeCloseTo(7_000, -1);
  expect(renewalMs(tokenOf(), false)).toBeUndefined();
  expect(renewalMs("no token", false)).toBeUndefined();
});

it("renews at once what is about to expire", () => {
  const token = tokenOf(900_000);
  vi.setSystemTime(Date.now() + 890_000);
  expect(renewalMs(token, false)).toBe(0);
});

it("does not run hot by a clock that is ahead, nor trust one that is behind", () => {
  const token = tokenOf(900_000);
  const madeMs = Date.now();
  vi.setSystemTime(madeMs + 895_000);
  expect(renewalMs(token, true)).toBeCloseTo(90_000, -1);
  vi.setSystemTime(madeMs + DAY_MS);
  expect(renewalMs(token, false, () => 0)).toBeCloseTo(870_000, -1);
  vi.setSystemTime(madeMs - DAY_MS);
  expect(renewalMs(token, false, () => 0)).toBeCloseTo(870_000, -1);
});

it("waits for weeks, longer than a timer can", async () => {
  const { renewal, send, sent } = make(() => tokenOf(60 * DAY_MS));
  renewal.open(send, tokenOf(40 * DAY_MS));
  await vi.advanceTimersByTimeAsync(40 * DAY_MS - 46_000);
  expect(sent).toEqual([]);
  await vi.advanceTimersByTimeAsync(16_500);
  expect(sent).toContain(TokenTask.AUTHENTICATE);
  renewal.interrupt();
});

it("leaves nothing running behind the connection, nor an answer that comes too late", async () => {
  let answer = (_token: string): void => undefined;
  const { renewal, send, sent } = make(() => new Promise<string>((resolve) => (answer = resolve)) as never);
  renewal.open(send, tokenOf(10_000));
  await vi.advanceTimersByTimeAsync(9_000);
  renewal.interrupt();
  renewal.open(send, tokenOf(60_000));
  answer(tokenOf(90_000));
  await vi.advanceTimersByTimeAsync(100);
  expect(sent).toEqual([]);
  renewal.interrupt();
  await vi.advanceTimersByTimeAsync(20_000);
  expect([sent, vi.getTimerCount()]).toEqual([[], 0]);
});
