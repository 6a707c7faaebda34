import { createLogger, createMetrics } from "@bimip/runtime";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Audit, type AuditReason, type Refusal } from "./audit.js";
import { createGatewayMetrics } from "./metrics.js";

let lines: Record<string, unknown>[];
let audit: Audit;
let count: (reason: AuditReason) => Promise<number>;

beforeEach(() => {
  vi.useFakeTimers();
  lines = [];
  const logger = createLogger("gateway", "info", { write: (line: string) => void lines.push(JSON.parse(line)) });
  const { refusals } = createGatewayMetrics(createMetrics("gateway"));
  audit = new Audit(logger, refusals);
  count = async (reason) => {
    const { values } = await refusals.get();
    return values.find(({ labels }) => labels.reason === reason)?.value ?? 0;
  };
});
afterEach(() => {
  vi.useRealTimers();
});

const refusal = (change: Partial<Refusal> = {}): Refusal => ({
  reason: "token",
  code: 401,
  eid: "",
  device: "",
  address: "10.0.0.1",
  details: "exp: has passed",
  ...change,
});

test("one refusal is one line with all that is known", () => {
  audit.refused(refusal());
  vi.runAllTimers();
  expect(lines).toEqual([expect.objectContaining({ level: "warn", msg: "refused", audit: refusal() })]);
});

test("a flood of one peer is two lines a second: the first, and how many more with the last", async () => {
  for (let n = 1; n <= 10_000; n++) audit.refused(refusal({ details: `number ${n}` }));
  expect(lines).toHaveLength(1);
  vi.advanceTimersByTime(1_000);
  expect(lines.map(({ audit }) => audit)).toEqual([
    refusal({ details: "number 1" }),
    { ...refusal({ details: "number 10000" }), repeats: 9_999 },
  ]);
  vi.advanceTimersByTime(10_000);
  expect(lines).toHaveLength(2);
  expect(await count("token")).toBe(10_000);
});

test("each second begins anew", () => {
  for (let second = 0; second < 3; second++) {
    audit.refused(refusal());
    vi.advanceTimersByTime(1_000);
  }
  expect(lines).toHaveLength(3);
});

test("reasons, accounts and addresses are told apart, an account with the name of an address too", () => {
  audit.refused(refusal());
  audit.refused(refusal({ reason: "origin", code: 403 }));
  audit.refused(refusal({ address: "10.0.0.2" }));
  audit.refused(refusal({ eid: "10.0.0.1", address: "10.0.0.3" }));
  audit.refused(refusal({ eid: "alice@x" }));
  expect(lines).toHaveLength(5);
});

test("a flood from everywhere is at most a thousand peers a second, and how many more there were", async () => {
  for (let n = 0; n < 30_000; n++) audit.refused(refusal({ address: `address ${n}` }));
  expect(lines).toHaveLength(1_000);
  vi.advanceTimersByTime(1_000);
  expect(lines.slice(1_000).map(({ audit }) => audit)).toEqual([
    {
      reason: "token",
      code: 0,
      eid: "",
      device: "",
      address: "",
      details: "of more peers than are named",
      repeats: 29_000,
    },
  ]);
  expect(await count("token")).toBe(30_000);
});

test.each([
  [
    "awareness.latitude: is 48.137154, must be a number from -90 to 90",
    "awareness.latitude: is …, must be a number from -90 to 90",
  ],
  ["location_stream.longitude: is -1.5e+300, must be", "location_stream.longitude: is …, must be"],
  [
    "location_stream.altitude: is NaN, must be a finite number",
    "location_stream.altitude: is …, must be a finite number",
  ],
  [
    'message.payload.media[0].type: is "meet me \\"at\\" noon", must be',
    'message.payload.media[0].type: is "…", must be',
  ],
  ['not closed "secret', 'not closed "…"'],
  [
    "signal.type: is 2 RESPONSE, which only the server sends",
    "signal.type: is … RESPONSE, which only the server sends",
  ],
  ["message.id: is too long: 129 bytes, at most 128", "message.id: is too long: 129 bytes, at most 128"],
  ["exp: has passed", "exp: has passed"],
])("what a field held is left out: %s", (details, told) => {
  audit.refused(refusal({ details }));
  expect(lines).toMatchObject([{ audit: { details: told } }]);
});

test("a long text is cut", () => {
  audit.refused(refusal({ details: "x".repeat(10_000) }));
  expect(lines).toMatchObject([{ audit: { details: "x".repeat(200) } }]);
});

test("the stop writes what was gathered, once", () => {
  audit.refused(refusal());
  audit.refused(refusal());
  audit.stop();
  vi.runAllTimers();
  expect(lines.map(({ audit }) => audit)).toEqual([refusal(), { ...refusal(), repeats: 1 }]);
});
