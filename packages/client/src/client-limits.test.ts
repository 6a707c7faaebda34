// What the client does when a server says that it is too fast, against a gateway of this process.
import { encodeStanza, ErrorMessageSchema } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ALICE, BOB, errorsOf, useClients } from "../test-kit/clients.js";
import { createClient } from "./client.js";
import { judgeEnd } from "./connection-verdict.js";
import type { SocketHandlers } from "./socket.js";

const clients = useClients();

afterEach(() => {
  vi.useRealTimers();
});

/** As a gateway limits messages: so many at once, so many a second; and when it refused. */
function bucket(burst: number, perSecond: number) {
  let [tokens, lastMs] = [burst, performance.now()];
  const refusedMs: number[] = [];
  const take = (): "store" | { code: number; details: string } => {
    const now = performance.now();
    tokens = Math.min(burst, tokens + ((now - lastMs) * perSecond) / 1_000);
    lastMs = now;
    if (tokens >= 1) {
      tokens--;
      return "store";
    }
    refusedMs.push(now);
    const waitS = Math.ceil(((1 - tokens) * 1_000) / perSecond) / 1_000;
    return { code: 429, details: `message: more than ${perSecond} a second, try again in ${waitS} s` };
  };
  return { take, refusedMs };
}

it("keeps messages that come too fast, and soon stops to be refused", async () => {
  const { gateway } = clients;
  const { take, refusedMs } = bucket(50, 100);
  gateway.fate = take;
  const alice = clients.of(ALICE, { maxInFlight: 40 });
  const errors = errorsOf(alice);
  await alice.connect();
  const recipients = Array.from({ length: 6 }, (_, n) => `r${n}@example.com`);
  const sending = Array.from({ length: 300 }, (_, n) =>
    alice.send({ to: recipients[n % recipients.length] ?? "", text: `t${n}` }),
  );
  await Promise.all(sending);
  for (const [at, eid] of recipients.entries()) {
    const texts = gateway.texts(eid);
    expect(texts).toHaveLength(50);
    expect(new Set(texts).size).toBe(50);
    expect(texts.every((text) => Number(text?.slice(1)) % recipients.length === at)).toBe(true);
  }
  expect(errors).toEqual([]);
  // The first refusals come for what was under way. Later ones, those that a gateway counts, are few.
  const [firstMs = 0] = refusedMs;
  expect(refusedMs.filter((ms) => ms < firstMs + 200).length).toBeLessThanOrEqual(40);
  expect(refusedMs.filter((ms) => ms >= firstMs + 200).length).toBeLessThan(30);
}, 20_000);

it("waits as long as the server says, with everything", async () => {
  const { gateway } = clients;
  const times: number[] = [];
  gateway.fate = () => {
    times.push(performance.now());
    return times.length === 1 ? { code: 429, details: "try again in 0.5 s" } : "store";
  };
  const alice = clients.of(ALICE);
  await alice.connect();
  const first = alice.send({ to: BOB, text: "a" });
  await vi.waitFor(() => expect(times).toHaveLength(1));
  await alice.ping();
  const second = alice.send({ to: "carol@example.com", text: "b" });
  expect(alice.outgoing((await first).id, BOB)?.state).toBe("sent");
  await second;
  const [refused = 0, ...later] = times;
  expect(Math.min(...later) - refused).toBeGreaterThan(495);
});

it("asks queries again when the server says, not all at once", async () => {
  const { gateway } = clients;
  gateway.queryFate = 429;
  const alice = clients.of(ALICE);
  await alice.connect();
  const asking = Promise.all(Array.from({ length: 30 }, () => alice.unread()));
  await vi.waitFor(() => expect(gateway.queries.length).toBeGreaterThanOrEqual(8));
  await alice.ping();
  expect(gateway.queries).toHaveLength(8);
  gateway.queryFate = "answer";
  await asking;
});

it("stays away for a minute at least after 4429, whatever else it would wait", async () => {
  vi.useFakeTimers();
  const opened: { at: number; handlers: SocketHandlers }[] = [];
  const socket = {
    sendsTokenInHeader: true,
    open(_url: string, _token: string, handlers: SocketHandlers) {
      opened.push({ at: performance.now(), handlers });
      return { send: () => undefined, close: () => undefined, terminate: () => undefined };
    },
  };
  const alice = createClient({
    url: "ws://fake",
    token: "t",
    eid: ALICE,
    socket,
    reconnect: { maxDelayMs: 10 },
    connectTimeoutMs: 60_000,
  });
  const errors = errorsOf(alice);
  alice.connect().catch(() => undefined);
  await vi.advanceTimersByTimeAsync(0);
  const error = create(ErrorMessageSchema, { code: 429, details: "closed: 200 refused stanzas, try again in 10 s" });
  opened[0]?.handlers.onOpen();
  opened[0]?.handlers.onFrame(encodeStanza("error", error));
  opened[0]?.handlers.onClose({ code: 4429, reason: "too many refused stanzas" });
  expect(alice.state).toBe("offline");
  await vi.advanceTimersByTimeAsync(59_999);
  expect(opened).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(12_002);
  expect(opened).toHaveLength(2);
  opened[1]?.handlers.onClose({ code: 1006, httpStatus: 429, reason: "too many connections, try again in 90 s" });
  await vi.advanceTimersByTimeAsync(89_999);
  expect(opened).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(18_002);
  expect(opened).toHaveLength(3);
  expect(errors.at(-1)).toBe("429 too many connections, try again in 90 s");
  const closed = alice.close();
  opened[2]?.handlers.onClose({ code: 1000, reason: "" });
  await closed;
});

describe("the end of a connection", () => {
  const end = (code: number, more: object = {}) => ({ code, reason: "", ...more });
  it.each([
    ["an HTTP 401", end(1006, { httpStatus: 401 }), undefined, { kind: "newToken", error: { code: 401 } }],
    ["an HTTP 403", end(1006, { httpStatus: 403 }), undefined, { kind: "stop", error: { code: 403 } }],
    ["an HTTP 429", end(1006, { httpStatus: 429 }), undefined, { kind: "retry", error: { code: 429 } }],
    ["an HTTP 503", end(1006, { httpStatus: 503 }), undefined, { kind: "retry", error: { code: 503 } }],
    ["4401", end(4401), undefined, { kind: "newToken", error: { code: 401 } }],
    ["4401 after a Logout", end(4401), "by hand", { kind: "stop", error: { details: "logged out: by hand" } }],
    ["1000 after a Logout", end(1000), "", { kind: "stop", error: { code: 401, details: "logged out" } }],
    ["1000 without one", end(1000), undefined, { kind: "retry", error: { code: 503 } }],
    ["4409", end(4409), "replaced", { kind: "stop", error: { code: 409 } }],
    ["4429", end(4429), undefined, { kind: "retry", error: { code: 429 }, waitMs: 60_000 }],
    ["4503", end(4503), undefined, { kind: "retry", error: { code: 503 } }],
    ["1006 after a Logout that another gateway told", end(1006), "", { kind: "retry", error: { code: 503 } }],
  ])("%s", (_name, ended, loggedOut, verdict) => {
    expect(judgeEnd(ended, loggedOut)).toMatchObject(verdict);
  });
});
