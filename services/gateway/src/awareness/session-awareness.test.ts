// What one device is told, against a truth in memory: changes that come late, twice and in any order, replicas that lag, lost
// ones, a slow socket, in seeded random order. Shows that the device ends with what is true, and never goes back on the way.
// NATS, sockets and the answers of awareness are in test/integration.
// Longer than other files: half of it is the world that the random histories run in.
import {
  type Awareness,
  AwarenessFanoutSchema,
  AwarenessSchema,
  decodeFrame,
  SnapshotResponseSchema,
  type Stanza,
} from "@bimip/protocol";
import { createMetrics } from "@bimip/runtime";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createGatewayMetrics } from "../metrics.js";
import type { ClientSocket } from "../ports.js";
import type { Users } from "../users.js";
import { Fanouts } from "./fanouts.js";
import type { GatewayAwareness } from "./gateway-awareness.js";
import { SessionAwareness } from "./session-awareness.js";

const EID = "me@x";
const metrics = createGatewayMetrics(createMetrics("test"));
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** What is told of `about`, who stands at this revision. */
const awarenessOf = (about: string, at: number, type = 1, status = 3): Uint8Array =>
  toBinary(AwarenessSchema, create(AwarenessSchema, { from: { eid: about }, type, status, details: String(at) }));

const fanoutOf = (about: string, revision: number, at = revision, type = 1, status = 3): Uint8Array =>
  toBinary(
    AwarenessFanoutSchema,
    create(AwarenessFanoutSchema, {
      to: [EID],
      eid: about,
      revision: BigInt(revision),
      stanza: { case: "awareness", value: awarenessOf(about, at, type, status) },
    }),
  );

class Socket implements ClientSocket {
  readonly address = "";
  readonly stanzas: Stanza[] = [];
  congested = false;
  congests: () => boolean = () => false;
  send(frame: Uint8Array): void {
    this.stanzas.push(decodeFrame(frame).stanza);
    if (this.congests()) this.congested = true;
  }
  flush(): void {
    // gathers nothing
  }
  close(): void {
    // stays
  }
}

/** One registered session at a gateway; `queue` holds it while it wants a snapshot. */
function setUp() {
  const socket = new Socket();
  const queue: SessionAwareness[] = [];
  const sessions: { device: string; awareness: SessionAwareness }[] = [];
  const users = { sessionsOf: (eid: string) => (eid === EID ? sessions : []) } as unknown as Users;
  const fanouts = new Fanouts(users, metrics, () => undefined);
  const snapshots = { add: (awareness: SessionAwareness) => void queue.push(awareness) };
  const side = {
    metrics,
    fanouts,
    snapshots,
    timesAnew: 0,
    onAnew(): void {
      side.timesAnew++;
      fanouts.restart();
      awareness.restart();
    },
  };
  const awareness = new SessionAwareness(side as unknown as GatewayAwareness, socket, EID);
  sessions.push({ device: "phone", awareness });
  const page = (revision: number, init: MessageInitShape<typeof SnapshotResponseSchema> = {}): void =>
    awareness.arrived(create(SnapshotResponseSchema, { revision: BigInt(revision), ...init }));
  /** The whole snapshot, which nobody is in, is asked for and comes. */
  const answer = (revision: number): void => {
    awareness.startReading();
    page(revision);
  };
  return { socket, queue, fanouts, awareness, page, answer, side };
}

const entry = (eid: string, at: number) => ({ eid, awareness: awarenessOf(eid, at) });

/** `a@x 5` = a@x stood at revision 5; a Body is a list that begins with its route. */
function told({ stanzas }: Socket): (string | string[])[] {
  const one = ({ from, details }: Awareness): string => `${from?.eid} ${details}`;
  return stanzas.flatMap(({ kind, value }): (string | string[])[] => {
    if (kind === "awareness") return [one(value)];
    if (kind === "body") return [[`route ${value.route}`, ...value.awarenessList.map(one)]];
    return [kind];
  });
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

test("whatever comes late, gets lost or waits: the device ends with what is true, and never goes back", async () => {
  await fc.assert(
    fc.asyncProperty(fc.infiniteStream(fc.nat(99)), async (dice) => {
      const roll = (): number => dice.next().value as number;
      const { socket, queue, fanouts, awareness, page, side } = setUp();
      socket.congests = () => roll() < 15;
      const eids = ["a@x", "b@x", "c@x"];
      const history: { readonly eid: string; readonly revision: number }[] = [];
      const onTheWay: Uint8Array[] = [];
      let reading: number | undefined;
      const change = (): void => {
        const eid = eids[roll() % eids.length] ?? "";
        const revision = history.length + 2;
        history.push({ eid, revision });
        for (let copies = roll() < 10 ? 2 : 1; copies > 0; copies--) onTheWay.push(fanoutOf(eid, revision));
      };
      const deliver = (): void => {
        if (onTheWay.length === 0) return;
        const at = roll() < 70 ? 0 : roll() % onTheWay.length;
        const [bytes] = onTheWay.splice(at, 1);
        if (bytes !== undefined) fanouts.take(bytes);
      };
      const stateAt = (revision: number, peers: string[]) =>
        peers.flatMap((eid) => {
          const last = history.findLast((one) => one.eid === eid && one.revision <= revision);
          return last === undefined ? [] : [entry(eid, last.revision)];
        });
      const read = async (): Promise<void> => {
        if (reading === undefined) {
          if (queue.shift() !== awareness) return;
          reading = awareness.startReading().needed;
          await turn(); // no answer comes sooner
          return;
        }
        if (roll() < 20) awareness.failed(); // tried again
        const { needed, after } = awareness.startReading();
        // A replica that lags, but not behind what was asked for.
        const newest = history.length + 1;
        const revision = Math.max(Math.min(newest, needed + (roll() % 4)), needed);
        const left = eids.filter((eid) => eid > after);
        const peers = left.slice(0, 1 + (roll() % 3));
        reading = undefined;
        const next = peers.length < left.length ? (peers.at(-1) ?? "") : "";
        page(revision, { entries: stateAt(revision, peers), next });
      };
      const drain = (): void => {
        if (!socket.congested) return;
        socket.congested = false;
        awareness.onDrain();
      };
      const lose = (): void => {
        onTheWay.splice(0);
        awareness.missed(history.length + 1);
      };

      for (let step = 0; step < 120; step++) {
        if (step === 10) awareness.begin(history.length + 1);
        const what = roll();
        if (what < 35) change();
        else if (what < 65) deliver();
        else if (what < 80) await read();
        else if (what < 90) drain();
        else if (what < 93) lose();
        else await turn();
      }
      socket.congests = () => false;
      for (let quiet = 0; quiet < 5; quiet++) {
        while (onTheWay.length > 0) deliver();
        drain();
        vi.advanceTimersByTime(1_001); // a slow socket's next snapshot
        while (queue.length > 0 || reading !== undefined) await read();
        await turn();
      }

      expect(side.timesAnew).toBe(0);
      const shown = new Map<string, number>();
      let parts: Awareness[] = [];
      for (const stanza of socket.stanzas) {
        let list =
          stanza.kind === "body" ? stanza.value.awarenessList : stanza.kind === "awareness" ? [stanza.value] : [];
        const before = new Map(shown);
        if (stanza.kind === "body" && stanza.value.route === 10n) {
          parts.push(...list);
          continue;
        }
        if (stanza.kind === "body" && stanza.value.route === 9n) {
          shown.clear();
          list = [...parts, ...list];
          parts = [];
        }
        expect(parts).toEqual([]);
        for (const { from, details } of list) {
          const eid = from?.eid ?? "";
          expect(Number(details)).toBeGreaterThanOrEqual(before.get(eid) ?? 0);
          shown.set(eid, Number(details));
        }
      }
      const truth = new Map(history.map(({ eid, revision }) => [eid, revision]));
      expect(shown).toEqual(truth);
      expect(told(socket)[0]?.[0]).toMatch(/^route (9|10)$/);
      fanouts.stop();
    }),
    { numRuns: 300 },
  );
});

test("a snapshot that the socket does not take at once goes on at its drain; changes wait for its end", async () => {
  const { socket, queue, fanouts, awareness, page } = setUp();
  awareness.begin(1);
  expect(queue).toEqual([awareness]);
  expect(awareness.startReading()).toMatchObject({ needed: 1, after: "" });
  socket.congests = () => true;
  page(1, { entries: [entry("a@x", 1)], requests: [new Uint8Array()] });
  fanouts.take(fanoutOf("a@x", 2));
  await turn();
  expect(told(socket)).toEqual([["route 9", "a@x 1"]]);
  socket.congested = false;
  socket.congests = () => false;
  awareness.onDrain();
  await turn();
  expect(told(socket)).toEqual([["route 9", "a@x 1"], "awarenessContact", "a@x 2"]);
  fanouts.stop();
});

test("a page is asked for when the socket took the one before; the last Body alone has route 9", () => {
  const { socket, queue, fanouts, awareness, page } = setUp();
  awareness.begin(5);
  for (const [at, next] of ["a@x", "b@x", ""].entries()) {
    expect(queue.splice(0)).toEqual([awareness]);
    expect(awareness.startReading()).toMatchObject({ needed: at === 0 ? 5 : 6 + at, after: ["", "a@x", "b@x"][at] });
    socket.congests = () => true;
    page(7 + at, { entries: [entry(`${at}@x`, 1)], next });
    for (let drains = 0; drains < 3; drains++) awareness.onDrain();
    expect(queue).toEqual([]);
    socket.congested = false;
    awareness.onDrain();
    awareness.onDrain();
  }
  expect(queue).toEqual([]);
  expect(told(socket)).toEqual([
    ["route 10", "0@x 1"],
    ["route 10", "1@x 1"],
    ["route 9", "2@x 1"],
  ]);
  fanouts.stop();
});

test("what is older than the page that told of that user is not told behind it, nor a while later", async () => {
  const { socket, fanouts, awareness, page } = setUp();
  awareness.begin(1);
  awareness.startReading();
  page(500, { entries: [entry("a@x", 400)], next: "a@x" });
  for (const eid of ["a@x", "b@x", "c@x"]) fanouts.take(fanoutOf(eid, 505));
  awareness.startReading();
  page(510, { entries: [entry("b@x", 508), entry("d@x", 509)] });
  await turn();
  fanouts.take(fanoutOf("d@x", 507));
  fanouts.take(fanoutOf("d@x", 510));
  await turn();
  expect(told(socket)).toEqual([
    ["route 10", "a@x 400"],
    ["route 9", "b@x 508", "d@x 509"],
    ["route 2", "a@x 505", "c@x 505"],
    "d@x 510",
  ]);
  fanouts.stop();
});

test("registered again: a new snapshot, at that revision", () => {
  const { queue, fanouts, awareness, answer } = setUp();
  awareness.renew(3); // not registered at all
  expect(queue).toEqual([]);
  awareness.begin(5);
  answer(5);
  queue.length = 0;
  awareness.renew(9);
  expect(queue).toEqual([awareness]);
  expect(awareness.startReading().needed).toBe(9);
  fanouts.stop();
});

test("a snapshot below the revision that was asked for: the order begins anew, once", async () => {
  const { socket, fanouts, awareness, page, answer, side } = setUp();
  awareness.begin(1_000);
  answer(1_000);
  fanouts.take(fanoutOf("a@x", 1_001));
  await turn();
  awareness.missed(1_001);
  awareness.startReading();
  fanouts.take(fanoutOf("b@x", 1_002));
  page(5, { entries: [entry("a@x", 3)], next: "a@x" });
  expect(side.timesAnew).toBe(1);
  expect(awareness.startReading().needed).toBe(5);
  page(6);
  fanouts.take(fanoutOf("a@x", 7));
  await turn();
  expect(side.timesAnew).toBe(1);
  expect(told(socket).slice(1)).toEqual(["a@x 1001", ["route 10", "a@x 3"], ["route 9"], "a@x 7"]);
  fanouts.stop();
});

test("an answer that was under way when the order began anew does not begin it again", () => {
  const { fanouts, awareness, page, side } = setUp();
  awareness.begin(1_000);
  awareness.startReading();
  side.onAnew();
  page(5);
  expect(side.timesAnew).toBe(1);
  fanouts.stop();
});

test("a head that is behind what came meanwhile lowers nothing", () => {
  const { fanouts, awareness, answer } = setUp();
  awareness.begin(5);
  answer(5);
  fanouts.take(fanoutOf("a@x", 12));
  awareness.missed(10);
  expect(awareness.startReading().needed).toBe(12);
  fanouts.stop();
});

test("what is for this user alone is lost to a slow socket, and no new snapshot makes up for it", async () => {
  const { socket, queue, fanouts, awareness, answer } = setUp();
  awareness.begin(1);
  answer(1);
  queue.length = 0;
  socket.congested = true;
  fanouts.take(fanoutOf("a@x", 0));
  socket.congested = false;
  fanouts.take(fanoutOf("a@x", 0));
  socket.congested = true;
  await turn();
  socket.congested = false;
  awareness.onDrain();
  vi.advanceTimersByTime(2_000);
  expect([queue, told(socket)]).toEqual([[], [["route 9"]]]);
  fanouts.stop();
});

test("who waits for the registration in vain is not kept", async () => {
  const { fanouts, awareness } = setUp();
  const waits = awareness.registered(performance.now() + 1_000);
  vi.advanceTimersByTime(1_001);
  expect(await waits).toBe(false);
  expect(vi.getTimerCount()).toBe(0);
  fanouts.stop();
});

test("a slow socket gets a new snapshot once a second at most, without the requests of others", async () => {
  const { socket, queue, fanouts, awareness, page, answer } = setUp();
  awareness.begin(1);
  queue.shift();
  answer(1);
  let revision = 1;
  const miss = (): void => {
    socket.congested = true;
    fanouts.take(fanoutOf("a@x", ++revision));
    socket.congested = false;
    awareness.onDrain();
  };
  for (let times = 0; times < 5; times++) miss();
  expect(queue).toHaveLength(0);
  vi.advanceTimersByTime(1_001);
  expect(queue).toHaveLength(1);
  queue.shift();
  expect(awareness.startReading().needed).toBe(revision);
  page(revision, { requests: [new Uint8Array()] });
  expect(told(socket)).not.toContain("awarenessContact");
  miss();
  expect(queue).toHaveLength(0);
  fanouts.stop();
});

test("of what waits, the newest of its type is told; what is for the user alone is told too", async () => {
  const { socket, fanouts, awareness, page } = setUp();
  awareness.begin(1);
  awareness.startReading();
  fanouts.take(fanoutOf("a@x", 5));
  fanouts.take(fanoutOf("a@x", 6, 6, 2));
  fanouts.take(fanoutOf("a@x", 7));
  fanouts.take(fanoutOf("a@x", 0, 100));
  fanouts.take(fanoutOf("b@x", 2));
  page(4);
  await turn();
  expect(told(socket)).toEqual([["route 9"], ["route 2", "a@x 6", "a@x 7", "a@x 100"]]);
  fanouts.stop();
});

test("of what waits, an ONLINE that ends a status of type 2 is told though a presence came behind it", async () => {
  const { socket, fanouts, awareness, page } = setUp();
  awareness.begin(1);
  awareness.startReading();
  fanouts.take(fanoutOf("a@x", 5, 5, 2, 6));
  for (const revision of [6, 7]) fanouts.take(fanoutOf("a@x", revision, revision, 1, 1));
  for (const revision of [8, 9]) fanouts.take(fanoutOf("a@x", revision, revision, 1, 4));
  page(4);
  await turn();
  expect(told(socket)).toEqual([["route 9"], ["route 2", "a@x 7", "a@x 9"]]);
  fanouts.stop();
});

test("a status that comes behind the ONLINE that ended it is dropped; one of the same revision is told", async () => {
  const { socket, fanouts, awareness, answer } = setUp();
  awareness.begin(1);
  answer(1);
  fanouts.take(fanoutOf("a@x", 6, 6, 1, 1));
  fanouts.take(fanoutOf("a@x", 5, 5, 2, 6));
  fanouts.take(fanoutOf("b@x", 6, 6, 1, 1));
  fanouts.take(fanoutOf("b@x", 6, 7, 2, 6));
  await turn();
  expect(told(socket).flat()).toEqual(["route 9", "route 2", "a@x 6", "b@x 6", "b@x 7"]);
  fanouts.stop();
});

test("an ONLINE that comes behind a newer status would end it: a snapshot tells both", async () => {
  const { socket, queue, fanouts, awareness, answer } = setUp();
  awareness.begin(1);
  answer(1);
  queue.length = 0;
  fanouts.take(fanoutOf("a@x", 8, 8, 2, 6));
  await turn();
  fanouts.take(fanoutOf("a@x", 7, 7, 1, 1));
  await turn();
  expect(told(socket)).toEqual([["route 9"], "a@x 8"]);
  vi.advanceTimersByTime(1_001);
  expect(queue).toEqual([awareness]);
  expect(awareness.startReading().needed).toBe(8);
  fanouts.stop();
});

test("an end lets go of whoever waits, and nothing is told any more", async () => {
  const { socket, queue, fanouts, awareness, answer } = setUp();
  const registered = awareness.registered();
  socket.congested = true;
  const writable = awareness.writable(performance.now() + 1_000);
  awareness.end();
  await Promise.all([registered, writable]);
  awareness.begin(1);
  awareness.want("reconnect");
  answer(1);
  fanouts.take(fanoutOf("a@x", 5));
  await turn();
  expect([queue, told(socket)]).toEqual([[], []]);
  fanouts.stop();
});
