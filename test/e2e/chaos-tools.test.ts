// The tools of the fault tests do what they say: the same seed, the same faults; a proxy that cuts, freezes, delays.
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { concernsNats, planFaults } from "../chaos/fault-plan.js";
import { createRandom } from "../chaos/random.js";
import { startTcpProxy, type TcpProxy } from "../chaos/tcp-proxy.js";
import { eventually } from "../kit/eventually.js";

test("one seed gives one plan, another seed another one", () => {
  const plan = (seed: number) => planFaults(createRandom(seed), 20);
  expect(plan(7)).toEqual(plan(7));
  expect(plan(7)).not.toEqual(plan(8));
});

test("every plan, however short, elects a leader, loses a gateway and a SENT, and splits the cluster", () => {
  for (let seed = 1; seed <= 50; seed++) {
    for (const count of [4, 5, 20, 60]) {
      const faults = planFaults(createRandom(seed), count).map(({ fault }) => fault);
      expect(faults).toHaveLength(count);
      const kinds = faults.map((fault) => ("what" in fault ? `${fault.kind} ${fault.what}` : fault.kind));
      for (const kind of ["kill leader", "kill gateway", "vanish", "cut routes"]) expect(kinds).toContain(kind);
    }
  }
});

test("over some plans every kind of fault comes up, of NATS and of others", () => {
  const faults = [1, 2, 3, 4, 5].flatMap((seed) => planFaults(createRandom(seed), 20)).map(({ fault }) => fault);
  const kinds = ["kill", "pause", "cut routes", "slow routes", "freeze readers", "slow readers", "vanish", "half-open"];
  expect([...new Set(faults.map(({ kind }) => kind))].sort()).toEqual(kinds.sort());
  const shareOfNats = faults.filter(concernsNats).length / faults.length;
  expect(shareOfNats).toBeGreaterThan(0.2);
  expect(shareOfNats).toBeLessThan(0.8);
});

test("a random source picks everything, shuffles without loss, and refuses nothing", () => {
  const random = createRandom(1);
  const items = [1, 2, 3, 4, 5];
  expect(new Set(Array.from({ length: 200 }, () => random.pick(items)))).toEqual(new Set(items));
  expect(new Set(random.shuffle(items))).toEqual(new Set(items));
  expect(random.shuffle(items)).toHaveLength(items.length);
  expect(() => random.pick([])).toThrow(RangeError);
});

describe("the proxy", () => {
  let server: Server;
  let proxy: TcpProxy;
  /** The far ends, in the order of their connections. */
  let accepted: Socket[];
  const clients: Socket[] = [];

  beforeEach(async () => {
    accepted = [];
    server = createServer((socket) => {
      accepted.push(socket);
      socket.on("error", () => undefined);
      socket.on("data", (bytes) => socket.write(bytes)); // an echo
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    proxy = await startTcpProxy(() => port);
  });
  afterEach(async () => {
    for (const socket of clients.splice(0)) socket.destroy();
    await proxy.close();
    server.close();
  });

  async function dial(): Promise<{ socket: Socket; heard: () => string; isClosed: () => boolean }> {
    const socket = connect({ port: proxy.port, host: "127.0.0.1" });
    clients.push(socket);
    let heard = "";
    socket.on("data", (bytes: Buffer) => {
      heard += bytes.toString();
    });
    socket.on("error", () => undefined);
    await once(socket, "connect");
    return { socket, heard: () => heard, isClosed: () => socket.closed };
  }

  async function dialAndTalk() {
    const client = await dial();
    client.socket.write("a");
    await eventually("the echo", () => client.heard() === "a");
    return client;
  }

  test("passes bytes and ends, both ways", async () => {
    const one = await dialAndTalk();
    one.socket.end();
    await eventually("both ends are closed", () => one.isClosed() && accepted[0]?.closed === true);
    const other = await dialAndTalk();
    accepted[1]?.end();
    await eventually("closed", other.isClosed);
    expect(proxy.outgoingPorts).toEqual([]);
  });

  test("cut: what stands is reset, what comes is refused, until heal", async () => {
    const one = await dialAndTalk();
    proxy.cut();
    await eventually("both ends are closed", () => one.isClosed() && accepted[0]?.closed === true);
    const refused = await dial().catch(() => undefined);
    if (refused !== undefined) await eventually("refused", refused.isClosed);
    expect(accepted).toHaveLength(1);
    proxy.heal();
    await dialAndTalk();
  });

  test("frozen: no byte and no end passes; all of it does after heal", async () => {
    const one = await dialAndTalk();
    const other = await dialAndTalk();
    proxy.freeze();
    one.socket.write("b");
    other.socket.destroy();
    await delay(100);
    expect([one.heard(), accepted[1]?.closed]).toEqual(["a", false]);
    proxy.heal();
    await eventually("the rest", () => one.heard() === "ab");
    await eventually("the other end hears of it", () => accepted[1]?.closed === true);
  });

  test("frozen downwards: what is sent arrives, the answer does not", async () => {
    const one = await dialAndTalk();
    let arrived = "";
    accepted[0]?.on("data", (bytes: Buffer) => {
      arrived += bytes.toString();
    });
    proxy.freeze("down");
    one.socket.write("b");
    await eventually("arrived", () => arrived === "b");
    await delay(100);
    expect(one.heard()).toBe("a");
    proxy.reset();
    await eventually("gone", one.isClosed);
    expect(one.heard()).toBe("a");
  });

  test("delayed, and slowed", async () => {
    const one = await dialAndTalk();
    proxy.delay(100);
    const startedMs = performance.now();
    one.socket.write("b");
    await eventually("the echo", () => one.heard() === "ab");
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(195); // each way, less the timers' grain
    proxy.heal();
    proxy.slow(1_000);
    const slowedMs = performance.now();
    one.socket.write("c".repeat(300));
    await eventually("the echo", () => one.heard().length === 302);
    expect(performance.now() - slowedMs).toBeGreaterThanOrEqual(295);
  });

  test("the next target is tried when one refuses", async () => {
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const other = await startTcpProxy(() => [1, port]);
    const socket = connect({ port: other.port, host: "127.0.0.1" });
    socket.write("a");
    const [bytes] = (await once(socket, "data")) as [Buffer];
    expect(bytes.toString()).toBe("a");
    socket.destroy();
    await other.close();
  });
});
