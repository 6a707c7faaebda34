// What is remembered of decided flows; what the answers mean is in test/integration/flow-policy.test.ts.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FlowRequestSchema, FlowResponseSchema } from "@bimip/protocol";
import type { Link } from "@bimip/nats";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { FlowPolicy } from "./flow-policy.js";

const FRESH_MS = 1_000;
const USABLE_MS = 30_000;
const asked: string[] = [];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
  asked.length = 0;
});
afterEach(() => {
  vi.useRealTimers();
});

function policy(): FlowPolicy {
  const nc = {
    subscribe: () => undefined,
    request: async (_subject: string, bytes: Uint8Array) => {
      asked.push(fromBinary(FlowRequestSchema, bytes).toEid);
      return { data: toBinary(FlowResponseSchema, create(FlowResponseSchema, {})) };
    },
  };
  const link = { nc, up: true, onChange: () => () => undefined } as unknown as Link;
  return new FlowPolicy(link, { partitions: 4, freshMs: FRESH_MS, deadlineMs: 1_000 });
}

it("forgets what cannot be used any more, so that writing to a million names takes no memory for each", async () => {
  const flows = policy();
  for (let second = 0; second < 100; second++) {
    for (let n = 0; n < 10; n++) await flows.decide("mallory@x", `name ${second} ${n}`);
    vi.advanceTimersByTime(1_000);
  }
  expect(asked).toHaveLength(1_000);
  expect(flows.size).toBeLessThanOrEqual((USABLE_MS / 1_000 + 1) * 10);
});

it("keeps what is used: a flow that is refreshed in time lives on", async () => {
  const flows = policy();
  await flows.decide("alice@x", "bob@x");
  for (let second = 0; second < 100; second++) {
    vi.advanceTimersByTime(1_000);
    expect(flows.known("alice@x", "bob@x")).toBeDefined();
    await flows.decide("mallory@x", `name ${second}`);
  }
  expect(asked.filter((eid) => eid === "bob@x").length).toBeGreaterThan(50);
});
