import { afterEach, beforeEach, expect, test } from "vitest";
import { type AdminServer, createHealth, createMetrics, type Health, type Metrics, startAdminServer } from "./index.js";

let health: Health;
let metrics: Metrics;
let server: AdminServer;

beforeEach(async () => {
  health = createHealth();
  metrics = createMetrics("gateway");
  server = await startAdminServer({ port: 0, host: "127.0.0.1", health, metrics });
});
afterEach(() => server.close());

const get = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${server.port}${path}`, init);

test("/healthz is ok while the process lives", async () => {
  health.shutDown();
  const answer = await get("/healthz?probe=1");
  expect([answer.status, await answer.text()]).toEqual([200, "ok"]);
});

test("/readyz tells the parts", async () => {
  expect((await get("/readyz")).status).toBe(503);
  health.set("nats", true);
  const ready = await get("/readyz");
  expect([ready.status, await ready.json()]).toEqual([200, { ok: true, parts: { nats: { ok: true } } }]);
  health.set("nats", false, "disconnected");
  const not = await get("/readyz");
  expect([not.status, await not.json()]).toEqual([
    503,
    { ok: false, parts: { nats: { ok: false, detail: "disconnected" } } },
  ]);
});

test("/metrics holds the process's and the service's own metrics", async () => {
  metrics.counter({ name: "bimip_test_total", help: "Counted.", labelNames: ["kind"] }).inc({ kind: "a" }, 2);
  metrics.histogram({ name: "bimip_test_seconds", help: "Took.", buckets: [0.1, 1] }).observe(0.5);
  metrics.gauge({ name: "bimip_test_open", help: "Open.", collect: (gauge) => gauge.set(7) });
  const answer = await get("/metrics");
  const text = await answer.text();
  expect(answer.headers.get("content-type")).toContain("text/plain");
  expect(text).toContain('bimip_test_total{kind="a",service="gateway"} 2');
  expect(text).toContain('bimip_test_seconds_bucket{le="0.1",service="gateway"} 0');
  expect(text).toContain('bimip_test_seconds_bucket{le="1",service="gateway"} 1');
  expect(text).toContain('bimip_test_open{service="gateway"} 7');
  expect(text).toContain('bimip_process_cpu_seconds_total{service="gateway"}');
});

test("a metric that fails to collect fails the scrape, not the service", async () => {
  metrics.gauge({
    name: "bimip_test_open",
    help: "Open.",
    collect: () => {
      throw new Error("no reading");
    },
  });
  expect((await get("/metrics")).status).toBe(500);
  expect((await get("/healthz")).status).toBe(200);
});

test("other paths and methods", async () => {
  expect((await get("/")).status).toBe(404);
  expect((await get("/healthz", { method: "POST" })).status).toBe(405);
  const head = await get("/readyz", { method: "HEAD" });
  expect([head.status, await head.text()]).toEqual([503, ""]);
});

test("a taken port is an error", async () => {
  const again = startAdminServer({ port: server.port, host: "127.0.0.1", health, metrics });
  await expect(again).rejects.toThrow("EADDRINUSE");
});

test("close ends idle connections and frees the port", async () => {
  await (await get("/healthz")).text();
  await server.close();
  server = await startAdminServer({ port: server.port, host: "127.0.0.1", health, metrics });
});

test("two services in one process keep their metrics apart", async () => {
  const other = createMetrics("router");
  other.counter({ name: "bimip_test_total", help: "Counted." }).inc();
  expect(await metrics.text()).not.toContain("bimip_test_total");
});
