// How many connections there may be, of whom, and how fast they may come; and that what is counted is what is there.
import { randomInt } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { ErrorCode, encodeStanza, TokenAuthoritySchema, TokenTask, TokenType } from "@bimip/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Device } from "../kit/device.js";
import { type DoorSystem, startDoor } from "../kit/door.js";
import { eventually } from "../kit/eventually.js";
import { openSocket, type RawAnswer, rawRequest, readAnswer, upgradeHead } from "../kit/raw-http.js";

const authenticate = (token: string): Uint8Array =>
  encodeStanza(
    "tokenAuthority",
    create(TokenAuthoritySchema, { token, type: TokenType.REQUEST, task: TokenTask.AUTHENTICATE, id: "first" }),
  );

/** Ends what a test has opened, and waits until the gateway knows. */
async function end(door: DoorSystem, answers: readonly RawAnswer[]): Promise<void> {
  for (const { socket } of answers) socket.destroy();
  await empty(door);
}

async function empty(door: DoorSystem): Promise<void> {
  const counts = ["sockets", "connections", "unauthenticated_connections"].map((name) => `bimip_gateway_${name}`);
  let left: number[] = [];
  await eventually(
    () => `no connection is counted any more: ${left.join(", ")}`,
    async () => {
      left = await Promise.all(counts.map((name) => door.metric(name)));
      return left.every((count) => count === 0);
    },
  );
}

describe("numbers", () => {
  let door: DoorSystem;
  beforeAll(async () => {
    door = await startDoor({
      BIMIP_MAX_CONNECTIONS: "6",
      BIMIP_MAX_CONNECTIONS_PER_ADDRESS: "4",
      BIMIP_MAX_CONNECTIONS_PER_USER: "2",
      BIMIP_MAX_UNAUTHENTICATED: "4",
      BIMIP_MAX_UNAUTHENTICATED_PER_ADDRESS: "3",
    });
  });
  afterAll(() => door.system.stop());

  const knock = async (eid: string, device: string, from = "127.0.0.1"): Promise<RawAnswer> =>
    door.knock({ token: await door.system.token(eid, device), from });
  const refused = (limit: string): Promise<number> =>
    door.metric("bimip_gateway_connections_refused_total", `limit="${limit}"`);

  test("of an address: 429", async () => {
    const before = await refused("connections_per_address");
    const open: RawAnswer[] = [];
    for (let n = 0; n < 4; n++) open.push(await knock(`address-${n}`, "phone"));
    expect(open.map(({ status }) => status)).toEqual([101, 101, 101, 101]);
    const { status, body, socket } = await knock("address-5", "phone");
    expect([status, body]).toEqual([
      429,
      "too many connections from this address, at most 4 (BIMIP_MAX_CONNECTIONS_PER_ADDRESS)",
    ]);
    socket.destroy();
    expect(await refused("connections_per_address")).toBe(before + 1);
    expect(door.audited.at(-1)).toMatchObject({
      reason: "connections",
      code: 429,
      address: "127.0.0.1",
      details: body,
    });
    open.push(await knock("address-5", "phone", "127.0.0.2"));
    expect(open.at(-1)?.status).toBe(101);
    await end(door, open);
  });

  test("of all: 503", async () => {
    const open: RawAnswer[] = [];
    for (let n = 0; n < 6; n++) open.push(await knock(`all-${n}`, "phone", `127.0.0.${n + 1}`));
    expect(open.map(({ status }) => status)).toEqual(open.map(() => 101));
    const { status, body, socket } = await knock("all-7", "phone", "127.0.0.9");
    expect([status, body]).toEqual([503, "too many connections, at most 6 (BIMIP_MAX_CONNECTIONS)"]);
    socket.destroy();
    await end(door, open);
  });

  test("of an account: 429, and the account is in the audit; a device takes its own place", async () => {
    const [first, second] = [await knock("carol", "phone"), await knock("carol", "web")];
    const third = await knock("carol", "tablet");
    expect([third.status, third.body]).toEqual([
      429,
      "too many connections of this account, at most 2 (BIMIP_MAX_CONNECTIONS_PER_USER)",
    ]);
    expect(door.audited.at(-1)).toMatchObject({ reason: "connections", eid: "carol", device: "tablet" });
    const again = await knock("carol", "phone");
    expect(again.status).toBe(101);
    await end(door, [first, second, third, again]);
    const afterwards = await knock("carol", "tablet");
    expect(afterwards.status).toBe(101);
    await end(door, [afterwards]);
  });

  test("of an account in a first frame: 429, then close 4429; a device takes its own place", async () => {
    const open = [await knock("dave", "phone"), await knock("dave", "web")];
    const [url = ""] = door.system.urls;
    const device = await Device.open(url);
    device.sendBytes(authenticate(await door.system.token("dave", "tablet")));
    const error = await device.until("error");
    expect([error.code, error.details]).toEqual([
      ErrorCode.TOO_FAST,
      "too many connections of this account, at most 2 (BIMIP_MAX_CONNECTIONS_PER_USER)",
    ]);
    expect((await device.closing()).code).toBe(4429);
    const own = await Device.open(url);
    own.sendBytes(authenticate(await door.system.token("dave", "web")));
    await own.resumed();
    own.socket.terminate();
    await end(door, open);
  });

  test("without a token: 429 of an address, 503 of all; whoever says the token makes room", async () => {
    const url = door.system.urls[0] ?? "";
    const stranger = await Device.open(url);
    const open = [await door.knock(), await door.knock()];
    const more = await door.knock();
    expect([more.status, more.body]).toEqual([
      429,
      "too many connections without a token from this address, at most 3 (BIMIP_MAX_UNAUTHENTICATED_PER_ADDRESS)",
    ]);
    more.socket.destroy();
    // Whoever brings the token at once is not kept out by those who do not.
    const known = await knock("erin", "phone");
    expect(known.status).toBe(101);
    known.socket.destroy();
    stranger.sendBytes(authenticate(await door.system.token("frank", "phone")));
    await stranger.resumed();
    open.push(await door.knock());
    expect(open.at(-1)?.status).toBe(101);
    stranger.socket.terminate();
    await end(door, open);
  });
});

describe("how fast", () => {
  let door: DoorSystem;
  beforeAll(async () => {
    door = await startDoor({ BIMIP_RATE_CONNECTS: "0.5/3" });
  });
  afterAll(() => door.system.stop());

  test("a burst, then 429 with the time to come back; another address is not touched", async () => {
    const answers = await Promise.all([1, 2, 3].map(() => door.knock()));
    expect(answers.map(({ status }) => status)).toEqual([101, 101, 101]);
    const { status, body, headers, socket } = await door.knock();
    expect([status, headers.get("retry-after"), body]).toEqual([
      429,
      "2",
      "too many new connections from this address (BIMIP_RATE_CONNECTS), try again in 2 s",
    ]);
    socket.destroy();
    expect(door.audited.at(-1)).toMatchObject({ reason: "connections", code: 429, address: "127.0.0.1" });
    const get = async (path: string): Promise<number> =>
      (await rawRequest(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`, { port: door.port })).status;
    expect([await get("/metrics"), await get("/")]).toEqual([429, 429]);
    // An orchestrator's probes may share the address with clients: what is busy must not be taken for dead.
    expect([await get("/healthz"), await get("/readyz?probe=1")]).toEqual([200, 200]);
    const other = await door.knock({ from: "127.0.0.2" });
    expect(other.status).toBe(101);
    const again = await eventually("the time has come", async () => {
      const answer = await door.knock();
      return answer.status === 101 ? answer : undefined;
    });
    await end(door, [...answers, other, again]);
  });
});

describe("who says nothing", () => {
  let door: DoorSystem;
  beforeAll(async () => {
    door = await startDoor({
      BIMIP_MAX_UNAUTHENTICATED: "12",
      BIMIP_MAX_UNAUTHENTICATED_PER_ADDRESS: "5",
      BIMIP_AUTH_TIMEOUT_MS: "400",
    });
  });
  afterAll(() => door.system.stop());

  /** Resolves with the milliseconds until the gateway has closed it. */
  async function silent(first: string, from = "127.0.0.1"): Promise<number> {
    const socket = await openSocket({ port: door.port, from });
    const startedMs = performance.now();
    socket.write(first);
    await new Promise((resolve) => socket.resume().once("close", resolve));
    return performance.now() - startedMs;
  }

  test("a WebSocket without a first frame, or with half of one, is closed in time", async () => {
    const half = upgradeHead();
    const [nothing, halfFrame] = await Promise.all([silent(half), silent(`${half}\x82`, "127.0.0.2")]);
    for (const ms of [nothing, halfFrame]) expect(ms).toBeLessThan(3_000);
    await empty(door);
  });

  test("half a request, and a connection without any, are closed by the transport within 14 s", async () => {
    const head = "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\n";
    const [none, half] = await Promise.all([silent("", "127.0.0.3"), silent(head, "127.0.0.4")]);
    for (const ms of [none, half]) {
      expect(ms).toBeGreaterThan(6_000);
      expect(ms).toBeLessThan(14_000);
    }
    await empty(door);
  });

  test("a request whose headers come drop by drop gets no more time", async () => {
    const socket = await openSocket({ port: door.port, from: "127.0.0.5" });
    const startedMs = performance.now();
    socket.write("GET /v1/ws HTTP/1.1\r\nHost: localhost\r\n");
    const drops = setInterval(() => socket.write("X-More: a\r\n"), 500);
    await new Promise((resolve) => socket.resume().once("close", resolve));
    clearInterval(drops);
    expect(performance.now() - startedMs).toBeLessThan(14_000);
  });

  test("connections that ask nothing are turned away beyond the limit, and others get in meanwhile", async () => {
    let closed = 0;
    const sockets = await Promise.all(
      Array.from({ length: 40 }, async (_, n) => {
        const socket = await openSocket({ port: door.port, from: `127.0.1.${(n % 4) + 1}` });
        socket.resume().once("close", () => {
          closed++;
        });
        return socket;
      }),
    );
    // 5 of each address, 12 in all, stay until the transport's own time is over.
    await eventually("those beyond are closed", () => closed === 28, 5_000);
    expect(await door.metric("bimip_gateway_sockets")).toBe(12);
    const reasons = await Promise.all(
      ["unauthenticated", "unauthenticated_per_address"].map((limit) =>
        door.metric("bimip_gateway_connections_refused_total", `limit="${limit}"`),
      ),
    );
    expect(reasons.reduce((sum, count) => sum + count, 0)).toBe(28);
    sockets[0]?.destroy();
    await eventually("there is room", async () => (await door.metric("bimip_gateway_sockets")) < 12);
    const known = await door.knock({ token: await door.system.token("gina", "phone"), from: "127.0.1.9" });
    expect(known.status).toBe(101);
    for (const socket of sockets) socket.destroy();
    await end(door, [known]);
  });
});

describe("what is counted", () => {
  const STEPS = 5_000;
  const AT_ONCE = 40;
  const ADDRESSES = 4;
  let door: DoorSystem;
  beforeAll(async () => {
    door = await startDoor({
      BIMIP_MAX_CONNECTIONS: "30",
      BIMIP_MAX_CONNECTIONS_PER_ADDRESS: "10",
      BIMIP_MAX_CONNECTIONS_PER_USER: "3",
      BIMIP_MAX_UNAUTHENTICATED: "60",
      // Who leaves without a word counts for a while: this address would stand before a closed door most of the time.
      BIMIP_MAX_UNAUTHENTICATED_PER_ADDRESS: "5000",
    });
  });
  afterAll(() => door.system.stop());

  test(`is nothing after ${STEPS} connections that ended anyhow, and then the limits are what they were`, async () => {
    const tokens = await Promise.all(
      Array.from({ length: 40 }, (_, n) => door.system.token(`user-${n % 10}`, `device-${n % 7}`)),
    );
    const statuses = new Map<number, number>();
    const one = async (): Promise<void> => {
      const socket = await openSocket({ port: door.port, from: `127.0.2.${randomInt(ADDRESSES) + 1}` });
      const token = tokens[randomInt(tokens.length)] ?? "";
      const head = upgradeHead(randomInt(2) === 0 ? [["Authorization", `Bearer ${token}`]] : []);
      const what = randomInt(8);
      if (what === 1) socket.write(head.slice(0, randomInt(20, head.length)));
      if (what === 2) socket.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
      if (what === 3) socket.write(upgradeHead([["Authorization", "Bearer none"]]));
      if (what > 3) socket.write(head);
      // Some wait for the answer, some do not, some go on to say who they are.
      if (what >= 6) {
        const answer = await readAnswer(socket).catch(() => undefined);
        if (answer !== undefined) statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
        if (answer?.status === 101) socket.write(maskedFrame(authenticate(token)));
        if (randomInt(2) === 0) await new Promise((resolve) => setTimeout(resolve, randomInt(10)));
      }
      if (randomInt(2) === 0) socket.resetAndDestroy();
      else socket.destroy();
    };
    let left = STEPS;
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        while (left-- > 0) await one();
      }),
    );
    await empty(door);
    expect([...statuses.keys()].filter((status) => ![101, 429, 503].includes(status))).toEqual([]);
    expect(statuses.get(101)).toBeGreaterThan(100);

    const open: RawAnswer[] = [];
    for (let n = 0; n < 40; n++) {
      const token = await door.system.token(`full-${n}`, "phone");
      open.push(await door.knock({ token, from: `127.0.2.${(n % ADDRESSES) + 1}` }));
    }
    expect(open.map(({ status }) => status)).toEqual(open.map((_, n) => (n < 30 ? 101 : 503)));
    await end(door, open);
    const ofUser = await Promise.all(
      [0, 1, 2, 3].map(async (n) => door.knock({ token: await door.system.token("user-1", `other-${n}`) })),
    );
    expect(ofUser.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([101, 101, 101, 429]);
    await end(door, ofUser);
    const ofAddress = await Promise.all(
      Array.from({ length: 12 }, async (_, n) =>
        rawRequest(upgradeHead([["Authorization", `Bearer ${await door.system.token(`one-${n}`, "phone")}`]]), {
          port: door.port,
          from: "127.0.2.1",
        }),
      ),
    );
    expect(ofAddress.filter(({ status }) => status === 101)).toHaveLength(10);
    await end(door, ofAddress);
  });
});

/** A binary WebSocket frame of a client, up to 64 KiB, masked with zeros. */
function maskedFrame(bytes: Uint8Array): Buffer {
  const { length } = bytes;
  const head = length < 126 ? [0x82, 0x80 | length] : [0x82, 0xfe, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), bytes]);
}
