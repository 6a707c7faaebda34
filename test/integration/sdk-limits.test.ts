// The SDK sends more than a session may, under the limits that an installation has by default.
import { createClient } from "@bimip/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { defaultLimits } from "../kit/limits.js";
import { startSystem, type System } from "../kit/system.js";

let system: System;
beforeAll(async () => {
  // Other tests may keep this machine busy.
  system = await startSystem({ env: { ...defaultLimits(), BIMIP_SHED_LAG_MS: "0" } });
});
afterAll(() => system.stop());

/** Of refusals, as /metrics tells. */
const sum = (metrics: string, name: string): number =>
  [...metrics.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (.+)$`, "gm"))].reduce(
    (total, [, value]) => total + Number(value),
    0,
  );

test("600 messages at once to five accounts: each is stored once, in order, and the session lives on", async () => {
  const [url = ""] = system.urls;
  const client = createClient({ url, token: await system.token("ann", "phone"), receive: false });
  const states: string[] = [];
  const errors: string[] = [];
  client.on("state", (state) => states.push(state));
  client.on("error", ({ code, details }) => errors.push(`${code} ${details}`));
  await client.connect();
  const names = ["bob", "cleo", "dora", "eve", "fay"];
  const sending = Array.from({ length: 600 }, (_, n) =>
    client.send({ to: names[n % names.length] ?? "", text: `t${n}` }),
  );
  await Promise.all(sending);
  expect([states, errors]).toEqual([["connecting", "replaying", "online"], []]);
  const metrics = await system.metrics();
  expect(sum(metrics, "bimip_gateway_abuse_closed_total")).toBe(0);
  expect(sum(metrics, "bimip_gateway_rate_refusals_total")).toBeGreaterThan(0);
  await client.close();
  for (const [at, eid] of names.entries()) {
    const device = await system.device(eid, "phone");
    await eventually("all came", () => device.of("message").length === 120);
    const texts = device.of("message").map(({ payload }) => payload?.data["text"]);
    expect(texts).toEqual(Array.from({ length: 120 }, (_, n) => `t${n * names.length + at}`));
  }
});
