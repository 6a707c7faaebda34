import { BimipError, ErrorCode } from "@bimip/protocol";
import { beforeEach, expect, test, vi } from "vitest";
import type { Refusal } from "../audit.js";
import type { Gateway } from "../gateway.js";
import type { Admission, ConnectRequest } from "../ports.js";
import { Networks } from "./address.js";
import { ClientAddresses } from "./client-address.js";
import { ConnectRate } from "./connect-rate.js";
import { type ConnectionLimits, Connections, NO_CONNECTION_LIMITS } from "./connections.js";
import { FrontDoor } from "./front-door.js";
import { Origins } from "./origin.js";

const audited: Refusal[] = [];
const counted: unknown[] = [];
const authenticate = vi.fn();
const state = { draining: false, up: true, sheds: false, barredMs: 0 };
const gateway = {
  get draining() {
    return state.draining;
  },
  link: {
    get up() {
      return state.up;
    },
  },
  overload: {
    get sheds() {
      return state.sheds;
    },
    shed: () => undefined,
  },
  abuse: { barredMs: () => state.barredMs, barredDetails: () => "barred" },
  authenticator: { authenticate },
  metrics: { connectionsRefused: { inc: (labels: unknown) => counted.push(labels) } },
  audit: { refused: (refusal: Refusal) => audited.push(refusal) },
} as unknown as Gateway;

beforeEach(() => {
  audited.length = 0;
  counted.length = 0;
  Object.assign(state, { draining: false, up: true, sheds: false, barredMs: 0 });
  authenticate.mockReset();
  authenticate.mockResolvedValue({ eid: "alice", device: "phone" });
});

interface Options {
  readonly limits?: Partial<ConnectionLimits>;
  readonly hasFiles?: () => boolean;
  readonly rate?: ConnectRate;
  readonly origins?: string;
}

function make({ limits = {}, hasFiles = () => true, rate = new ConnectRate(undefined), origins = "*" }: Options = {}) {
  const connections = new Connections({ ...NO_CONNECTION_LIMITS, ...limits });
  const addresses = new ClientAddresses({ source: "x-forwarded-for", trusted: new Networks(["10.0.0.1"]) });
  const door = new FrontDoor(gateway, { addresses, origins: new Origins([origins]), rate, connections, hasFiles });
  return { door, connections };
}

const ask = (door: FrontDoor, request: Partial<ConnectRequest> = {}): Promise<Admission> =>
  door.admit({
    token: "a token",
    device: undefined,
    resume: "automatic",
    peer: "192.0.2.1",
    origins: [],
    forwardedFor: [],
    ...request,
  });

/** In which order things are looked at, the cheap ones first; each with all that follow wrong as well. */
test.each<[what: string, wrong: () => Options, status: number, message: string, reason: string | undefined]>([
  ["draining", () => set({ draining: true }), 503, "this gateway is draining, try again", undefined],
  ["NATS", () => set({ up: false }), 503, "NATS is away, try again", undefined],
  ["overload", () => set({ sheds: true }), 503, "this gateway is overloaded, try again", "overload"],
  ["origin", () => ({ origins: "https://a.example" }), 403, "origin: pages of this origin may not connect", "origin"],
  ["rate", () => ({ rate: spent() }), 429, "too many new connections from this address", "connections"],
])("%s", async (_, wrong, status, message, reason) => {
  const { door, connections } = make(wrong());
  authenticate.mockRejectedValue(new BimipError(ErrorCode.NOT_AUTHENTICATED, "token: is bad"));
  const admission = await ask(door, { origins: ["https://evil.example"] });
  expect(admission).toMatchObject({ ok: false, status });
  expect((admission as { message: string }).message.startsWith(message)).toBe(true);
  expect(audited.map((one) => one.reason)).toEqual(reason === undefined ? [] : [reason]);
  expect(authenticate).not.toHaveBeenCalled();
  expect([connections.count, connections.size]).toEqual([0, 0]);
});

function set(values: Partial<typeof state>): Options {
  Object.assign(state, values);
  return {};
}

function spent(): ConnectRate {
  const rate = new ConnectRate({ perSecond: 0.1, burst: 1 });
  rate.take("192.0.2.1");
  return rate;
}

test("a bad token: 401, an event, and its place is free again", async () => {
  const { door, connections } = make({ limits: { connections: 1 } });
  authenticate.mockRejectedValueOnce(new BimipError(ErrorCode.NOT_AUTHENTICATED, "token: is bad"));
  expect(await ask(door)).toMatchObject({ ok: false, status: 401, message: "token: is bad" });
  expect(audited).toMatchObject([{ reason: "token", code: 401, address: "192.0.2.1" }]);
  expect(connections.count).toBe(0);
  expect(await ask(door)).toMatchObject({ ok: true, address: "192.0.2.1" });
});

test("nobody can say whether it is good: 503 without an event; what went wrong inside stays inside", async () => {
  const { door, connections } = make();
  authenticate.mockRejectedValueOnce(new BimipError(ErrorCode.TRY_AGAIN, "keys are away"));
  expect(await ask(door)).toMatchObject({ status: 503, message: "keys are away" });
  authenticate.mockRejectedValueOnce(new Error("at /srv/secret.ts"));
  expect(await ask(door)).toMatchObject({ status: 503, message: "try again" });
  expect([audited.length, connections.count]).toEqual([0, 0]);
});

test("an account that was closed for abuse hears when it may come back", async () => {
  const { door, connections } = make();
  state.barredMs = 1_200;
  expect(await ask(door)).toMatchObject({ ok: false, status: 429, message: "barred", retryAfterS: 2 });
  expect(audited).toMatchObject([{ reason: "abuse", eid: "alice", device: "phone" }]);
  expect(connections.count).toBe(0);
});

test("behind a trusted proxy the client counts", async () => {
  const { door } = make({ limits: { perAddress: 1 } });
  const peer = "10.0.0.1";
  expect(await ask(door, { peer, forwardedFor: ["192.0.2.7"] })).toMatchObject({ ok: true, address: "192.0.2.7" });
  expect(await ask(door, { peer, forwardedFor: ["192.0.2.7"] })).toMatchObject({ ok: false, status: 429 });
  expect(audited.at(-1)?.address).toBe("192.0.2.7");
  expect(await ask(door, { peer, forwardedFor: ["192.0.2.8"] })).toMatchObject({ ok: true });
});

test("before a word is said: no more connections than there are file descriptors for", () => {
  let files = 2;
  const { door } = make({ hasFiles: () => files-- > 0 });
  expect([1, 2, 3].map(() => door.accept("192.0.2.1"))).toEqual([true, true, false]);
  for (let n = 0; n < 3; n++) door.gone();
  expect(door.sockets).toBe(0);
  files = 1;
  expect(door.accept("192.0.2.1")).toBe(true);
  expect(counted).toEqual([{ limit: "connections" }]);
});

test("before a word is said: no more than may be without a token, of an address and in all; a proxy is many clients", async () => {
  const { door } = make({ limits: { strangers: 6, strangersPerAddress: 2 } });
  const taken = (peer: string, times: number): boolean[] => Array.from({ length: times }, () => door.accept(peer));
  expect(taken("192.0.2.1", 3)).toEqual([true, true, false]);
  door.gone();
  expect(taken("10.0.0.1", 4)).toEqual([true, true, true, true]);
  // Whoever fills the house keeps out themselves, and nobody who comes for the first time.
  expect(taken("192.0.2.2", 2)).toEqual([true, false]);
  door.gone();
  door.gone();
  expect(counted).toEqual([{ limit: "unauthenticated_per_address" }, { limit: "unauthenticated" }]);
  // Who has said whose it is makes room.
  door.asked("192.0.2.1");
  await ask(door);
  expect(door.accept("192.0.2.1")).toBe(true);
  door.stop();
});
