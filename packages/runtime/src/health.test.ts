import { expect, test } from "vitest";
import { createHealth } from "./index.js";

test("nothing is ready until a part was set", () => {
  const health = createHealth();
  expect(health.ready).toEqual({ ok: false, parts: {} });
  health.set("nats", true);
  expect(health.ready).toEqual({ ok: true, parts: { nats: { ok: true } } });
});

test("one part that fails is enough, and says why", () => {
  const health = createHealth();
  health.set("nats", true);
  health.set("topology", false, "NATS is away");
  expect(health.ready).toEqual({
    ok: false,
    parts: { nats: { ok: true }, topology: { ok: false, detail: "NATS is away" } },
  });
  health.set("topology", true);
  expect(health.ready.parts["topology"]).toEqual({ ok: true });
});

test("shutting down is not ready, for good", () => {
  const health = createHealth();
  health.set("nats", true);
  health.shutDown();
  health.set("nats", true);
  expect(health.ready).toEqual({ ok: false, parts: { nats: { ok: true }, stopping: { ok: false } } });
});

test("whenReady waits for the last part", async () => {
  const health = createHealth();
  const order: string[] = [];
  health.set("a", false);
  const waited = health.whenReady().then(() => order.push("ready"));
  health.set("b", true);
  await Promise.resolve();
  order.push("a");
  health.set("a", true);
  await waited;
  expect(order).toEqual(["a", "ready"]);
  await health.whenReady();
});
