// Who a client is behind proxies: believed of those that are trusted, and of nobody else. What the gateway takes for the
// client's address shows in its audit, here by tokens that are none.
import { readConfig } from "@bimip/gateway";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DoorSystem, startDoor } from "../kit/door.js";
import { eventually } from "../kit/eventually.js";
import { type Headers, openSocket, type RawOptions, rawRequest, readAnswer, upgradeHead } from "../kit/raw-http.js";
import { SECRET } from "../kit/system.js";

/** The whole of 127.0.0.0/8 is this machine's on Linux. */
const PROXY = "127.0.0.2";
const OTHER_PROXY = "127.0.1.9";
const STRANGER = "127.0.0.5";
const TRUSTED = `${PROXY},127.0.1.0/24`;
const CLIENT = "192.0.2.1";
const SIGNATURE = Buffer.from("0d0a0d0a000d0a515549540a", "hex");

let refusals = 0;
/** The address that the audit names for a request of this kind. */
async function addressOf(
  door: DoorSystem,
  headers: Headers,
  options: Partial<RawOptions>,
): Promise<string | undefined> {
  // Each has an account of its own in the audit, which gathers what one address does within a second.
  const token = `no token ${++refusals}`;
  const before = door.audited.length;
  const { status, socket } = await door.knock({ headers, token, ...options });
  socket.destroy();
  expect(status).toBe(401);
  return eventually("an audit line", () => door.audited[before]?.address);
}

const forwarded = (...values: string[]): Headers => values.map((value) => ["X-Forwarded-For", value] as const);

describe("X-Forwarded-For", () => {
  let door: DoorSystem;
  beforeAll(async () => {
    door = await startDoor({
      BIMIP_CLIENT_ADDRESS: "x-forwarded-for",
      BIMIP_TRUSTED_PROXIES: TRUSTED,
      BIMIP_MAX_CONNECTIONS_PER_ADDRESS: "2",
    });
  });
  afterAll(() => door.system.stop());

  test.each<[what: string, from: string, headers: Headers, address: string]>([
    ["a trusted proxy is believed", PROXY, forwarded("192.0.2.10"), "192.0.2.10"],
    ["the last untrusted hop is the client", PROXY, forwarded("6.6.6.6, 192.0.2.11, 127.0.1.4"), "192.0.2.11"],
    ["several headers", OTHER_PROXY, forwarded("6.6.6.6", "192.0.2.12", PROXY), "192.0.2.12"],
    ["garbage", PROXY, forwarded("localhost"), PROXY],
    ["none", OTHER_PROXY, [], OTHER_PROXY],
    ["a stranger is not believed", STRANGER, forwarded("192.0.2.13"), STRANGER],
    ["a stranger who names a proxy", "127.0.0.6", forwarded(`192.0.2.13, ${PROXY}`), "127.0.0.6"],
    ["IPv4 in IPv6", PROXY, forwarded("::ffff:192.0.2.14"), "192.0.2.14"],
    ["a PROXY header is not asked for", PROXY, [], PROXY],
  ])("%s", async (what, from, headers, address) => {
    const first = what.startsWith("a PROXY header") ? { first: v2(CLIENT) } : {};
    const before = door.audited.length;
    expect(await addressOf(door, headers, { from, ...first })).toBe(address);
    expect(door.audited.length).toBe(before + 1);
  });

  test("the client's address counts, not the proxy's", async () => {
    const at = async (client: string) => {
      const answer = await door.knock({ from: PROXY, headers: forwarded(client) });
      return answer;
    };
    const open = [await at("192.0.2.20"), await at("192.0.2.20"), await at("192.0.2.21"), await at("192.0.2.21")];
    expect(open.map(({ status }) => status)).toEqual([101, 101, 101, 101]);
    expect((await at("192.0.2.20")).status).toBe(429);
    // A /64 of IPv6 is one client.
    open.push(await at("2001:db8::1"), await at("2001:db8::2"));
    expect((await at("2001:db8::ffff:3")).status).toBe(429);
    open.push(await at("2001:db8:0:1::1"));
    expect(open.at(-1)?.status).toBe(101);
    for (const { socket } of open) socket.destroy();
  });
});

/** A header of version 2. */
function v2(
  client: string,
  options: { readonly command?: number; readonly family?: number; readonly more?: number } = {},
): Buffer {
  const { command = 0x21, family = 0x11, more = 0 } = options;
  const addresses = Buffer.from([...client.split(".").map(Number), 127, 0, 0, 1, 0x12, 0x34, 0x0f, 0xa1]);
  const size = addresses.length + more;
  return Buffer.concat([
    SIGNATURE,
    Buffer.from([command, family, size >> 8, size & 0xff]),
    addresses,
    Buffer.alloc(more, 4),
  ]);
}

const v1 = (client: string): Buffer => Buffer.from(`PROXY TCP4 ${client} 127.0.0.1 4711 443\r\n`);

describe("PROXY protocol", () => {
  let door: DoorSystem;
  beforeAll(async () => {
    door = await startDoor({
      BIMIP_CLIENT_ADDRESS: "proxy-protocol",
      BIMIP_TRUSTED_PROXIES: TRUSTED,
      BIMIP_AUTH_TIMEOUT_MS: "500",
      BIMIP_MAX_CONNECTIONS_PER_ADDRESS: "2",
    });
  });
  afterAll(() => door.system.stop());

  test.each<[what: string, from: string, first: Buffer, address: string]>([
    ["version 2", PROXY, v2("192.0.2.30"), "192.0.2.30"],
    ["version 1", OTHER_PROXY, v1("192.0.2.31"), "192.0.2.31"],
    ["version 2 with 300 bytes of the proxy's", PROXY, v2("192.0.2.32", { more: 300 }), "192.0.2.32"],
    ["LOCAL is the proxy itself", PROXY, v2("192.0.2.33", { command: 0x20 }), PROXY],
    ["an address of another kind is the proxy itself", OTHER_PROXY, v2("192.0.2.33", { family: 0 }), OTHER_PROXY],
    ["a name for an address is the proxy itself", "127.0.1.20", v1("evil.example"), "127.0.1.20"],
    ["no header is the proxy itself", "127.0.1.21", Buffer.alloc(0), "127.0.1.21"],
    ["a stranger needs none", STRANGER, Buffer.alloc(0), STRANGER],
    ["a stranger's header changes nothing", "127.0.0.7", v2("192.0.2.34"), "127.0.0.7"],
  ])("%s", async (_, from, first, address) => {
    expect(await addressOf(door, [], { from, first })).toBe(address);
  });

  test("a stranger's header of version 1 is no HTTP", async () => {
    await expect(door.knock({ from: "127.0.0.8", first: v1("192.0.2.35") })).resolves.toMatchObject({ status: 505 });
  });

  test("in packets of any size", async () => {
    const socket = await openSocket({ port: door.port, from: PROXY });
    const before = door.audited.length;
    for (const byte of v2("192.0.2.36")) socket.write(Buffer.from([byte]));
    const answer = readAnswer(socket);
    socket.write(upgradeHead([["Authorization", "Bearer none at all"]]));
    expect((await answer).status).toBe(401);
    await eventually("its address", () => door.audited[before]?.address === "192.0.2.36");
  });

  test("the client cannot send a second one, neither in front of its request nor behind it", async () => {
    const both = Buffer.concat([v2("192.0.2.37"), v2("6.6.6.6")]);
    expect(await addressOf(door, [], { from: PROXY, first: both })).toBe("192.0.2.37");
    const socket = await openSocket({ port: door.port, from: PROXY });
    let closed = false;
    socket.resume().once("close", () => {
      closed = true;
    });
    socket.write(
      Buffer.concat([v2("192.0.2.38"), Buffer.from("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"), v2("6.6.6.6")]),
    );
    socket.write(upgradeHead([["Authorization", "Bearer none"]]));
    await eventually("its end", () => closed);
    expect(door.audited.map(({ address }) => address)).not.toContain("6.6.6.6");
  });

  test("a header that is broken, or never whole, ends the connection", async () => {
    const broken = Buffer.concat([SIGNATURE, Buffer.from([0x11, 0x11, 0, 12]), Buffer.alloc(12)]);
    await expect(door.knock({ from: PROXY, first: broken })).rejects.toThrow("closed without an answer");
    const socket = await openSocket({ port: door.port, from: PROXY });
    const startedMs = performance.now();
    socket.write(SIGNATURE);
    await new Promise((resolve) => socket.resume().once("close", resolve));
    expect(performance.now() - startedMs).toBeGreaterThan(400);
  });

  test("a session behind it works, and its address is counted", async () => {
    const open = async (n: number) => {
      const headers: Headers = [["Authorization", `Bearer ${await door.system.token("alice", `phone-${n}`)}`]];
      return rawRequest(upgradeHead(headers), { port: door.port, from: PROXY, first: v2("192.0.2.40") });
    };
    const answers = [await open(1), await open(2), await open(3)];
    expect(answers.map(({ status }) => status)).toEqual([101, 101, 429]);
    for (const { socket } of answers) socket.destroy();
    await eventually("both are gone", async () => (await door.metric("bimip_gateway_connections")) === 0);
    await eventually("all sockets are gone", async () => (await door.metric("bimip_gateway_sockets")) === 0);
    const device = await door.system.device("alice", "phone");
    await device.messageSent({ id: "1", to: { eid: "bob" } });
    await device.close();
  });
});

test("a source of addresses without proxies to trust is a mistake", () => {
  for (const source of ["x-forwarded-for", "proxy-protocol"]) {
    expect(() => readConfig({ BIMIP_JWT_SECRET: SECRET, BIMIP_CLIENT_ADDRESS: source })).toThrow(
      `BIMIP_TRUSTED_PROXIES is required with BIMIP_CLIENT_ADDRESS=${source}`,
    );
  }
});
