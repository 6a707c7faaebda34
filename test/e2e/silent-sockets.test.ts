// Hundreds of connections that say nothing stand before real processes; `npm run silent-sockets` does it with thousands.
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { defaultLimits } from "../kit/limits.js";
import { startTestStack, type TestStack } from "../kit/stack.js";
import { measureLogins } from "../load/logins.js";
import { SilentCrowd, type SilentKind } from "../load/silent-crowd.js";

const SILENT = 800;
const ADDRESSES = Array.from({ length: 10 }, (_, n) => `127.0.1.${n + 1}`);

let target: TestStack;
beforeAll(async () => {
  target = await startTestStack({ gateways: 1, awareness: 1, env: defaultLimits() });
});
afterAll(() => target.stop());

test.each<SilentKind>(["websocket", "request"])(
  "800 of them, silent after a %s: a login takes less than a second",
  async (kind) => {
    const [port = 0] = target.ports;
    const [url = ""] = target.urls;
    const crowd = new SilentCrowd({ port, kind, count: SILENT, addresses: ADDRESSES });
    try {
      await eventually("they all stand", () => crowd.report().most >= SILENT);
      const logins = await measureLogins(url, { count: 30, token: (n) => target.token(`${kind}-${n}`, "phone") });
      process.stdout.write(`${kind}: ${JSON.stringify({ ...logins, ...crowd.report() })}\n`);
      expect(logins.failed).toBe(0);
      expect(logins.max).toBeLessThan(1_000);
    } finally {
      crowd.stop();
    }
  },
);

test("with the default limits one address does not get far", async () => {
  const [port = 0] = target.ports;
  const crowd = new SilentCrowd({ port, kind: "websocket", count: SILENT, addresses: ["127.0.2.1"] });
  try {
    await eventually("they are turned away", () => (crowd.report().answers["429"] ?? 0) > 100);
    const metrics = await (await fetch(`${target.stack.httpUrl}/metrics`)).text();
    const standing = Number(/^bimip_gateway_unauthenticated_connections\{.*\} (\d+)$/m.exec(metrics)?.[1]);
    expect(standing).toBeLessThanOrEqual(100);
    const logins = await measureLogins(target.urls[0] ?? "", {
      count: 10,
      token: (n) => target.token(`other-${n}`, "phone"),
    });
    expect(logins.failed).toBe(0);
    expect(logins.max).toBeLessThan(1_000);
  } finally {
    crowd.stop();
  }
});
