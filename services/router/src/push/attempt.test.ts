import { createLogger, createMetrics } from "@bimip/runtime";
import { expect, test } from "vitest";
import { attempt } from "./attempt.js";
import { createPushMetrics } from "./metrics.js";
import type { Outcome, Push, Target } from "./provider.js";

const push: Push = {
  id: "id",
  eid: "bob@x",
  kind: "message",
  from: "alice@x",
  type: "text",
  text: undefined,
  stanza: {},
  index: 7,
  epoch: 1,
  badge: 1,
  storedAtMs: 1,
  online: false,
};
const parts = {
  metrics: createPushMetrics(createMetrics("router")),
  logger: createLogger("router", "silent"),
  maxTries: 5,
  retryMs: 10,
};
const failed: Outcome = { kind: "failed", reason: "HTTP 500", retryAfterMs: undefined };

function target(name: string, provider: Target["provider"], outcomes: Outcome[]): Target & { calls: number } {
  return {
    name,
    provider,
    calls: 0,
    async post() {
      return outcomes[this.calls++] ?? failed;
    },
  };
}

test("who has it is not called again; who is gone or refuses is done with", async () => {
  const webhook = target("webhook", "webhook", [failed, { kind: "ok" }]);
  const targets = [
    webhook,
    target("one", "web_push", [{ kind: "ok" }]),
    target("two", "web_push", [{ kind: "gone" }]),
    target("three", "web_push", [{ kind: "refused", reason: "HTTP 400" }]),
  ];
  const first = await attempt(parts, push, targets, undefined);
  expect(first).toMatchObject({
    kind: "again",
    retry: { epoch: 1, index: 7, tries: 1, done: ["one", "two", "three"] },
  });
  const second = await attempt(parts, push, targets, first.retry);
  expect(second).toMatchObject({ kind: "done", retry: { tries: 1 } });
  expect(targets.map(({ calls }) => calls)).toEqual([2, 1, 1, 1]);
});

test("given up after as many tries as allowed, with the reasons; fewer for browsers once the webhook has it", async () => {
  const alone = target("webhook", "webhook", []);
  expect(await triesUntilDead([alone])).toEqual([5, { webhook: "HTTP 500" }]);
  const browser = target("browser", "web_push", []);
  expect(await triesUntilDead([target("webhook", "webhook", [{ kind: "ok" }]), browser])).toEqual([
    3,
    { browser: "HTTP 500" },
  ]);
  expect(await triesUntilDead([target("browser", "web_push", [])])).toEqual([5, { browser: "HTTP 500" }]);
});

async function triesUntilDead(targets: readonly Target[]) {
  let last = await attempt(parts, push, targets, undefined);
  while (last.kind === "again") last = await attempt(parts, push, targets, last.retry);
  return [last.retry.tries, last.kind === "dead" ? last.failures : undefined];
}

test("the pause is what a provider asks for, if that is longer", async () => {
  const busy = target("webhook", "webhook", [{ kind: "failed", reason: "HTTP 503", retryAfterMs: 60_000 }]);
  const { retry } = await attempt(parts, push, [busy], undefined);
  expect(retry.notBeforeMs - Date.now()).toBeGreaterThan(59_000);
});

test("a browser's long pause does not hold up the webhook: once that has it, it was the last try; before, it is cut short", async () => {
  const tired: Outcome = { kind: "failed", reason: "HTTP 429", retryAfterMs: 3_600_000 };
  const browser = target("browser", "web_push", [tired, tired]);
  const webhook = target("webhook", "webhook", [failed, { kind: "ok" }]);
  const first = await attempt(parts, push, [webhook, browser], undefined);
  expect(first.kind).toBe("again");
  expect(first.retry.notBeforeMs - Date.now()).toBeLessThanOrEqual(30_000);
  const second = await attempt(parts, push, [webhook, browser], first.retry);
  expect(second).toMatchObject({ kind: "dead", failures: { browser: "HTTP 429" } });
  const alone = await attempt(parts, push, [target("browser", "web_push", [tired])], undefined);
  expect(alone.kind).toBe("again");
  expect(alone.retry.notBeforeMs - Date.now()).toBeGreaterThan(3_500_000);
});
