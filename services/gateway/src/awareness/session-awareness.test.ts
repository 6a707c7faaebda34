// What one device is told, against a truth in memory: changes that come late, twice and in any order, replicas that lag, lost
// ones, a slow socket, in seeded random order. Shows that the device ends with what is true, and never goes back on the way.
// NATS, sockets and the answers of awareness are in test/integration.
import {
  type Awareness,
  AwarenessFanoutSchema,
  AwarenessSchema,
  decodeFrame,
  encodePayload,
  type Stanza,
} from "@bimip/protocol";
import { createMetrics } from "@bimip/runtime";
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createGatewayMetrics } from "../metrics.js";
import type { ClientSocket } from "../ports.js";
import type { Users } from "../users.js";
import { encodeBodies } from "./bodies.js";
import { SNAPSHOT_ROUTE } from "./change.js";
import { Fanouts } from "./fanouts.js";
import type { GatewayAwareness } from "./gateway-awareness.js";
import { SessionAwareness } from "./session-awareness.js";

const EID = "me@x";
const metrics = createGatewayMetrics(createMetrics("test"));
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** What is told of `about`, who stands at this revision. */
const awarenessOf = (about: string, at: number, type = 1): Uint8Array =>
  toBinary(AwarenessSchema, create(AwarenessSchema, { from: { eid: about }, type, status: 1, details: String(at) }));

const fanoutOf = (about: string, revision: number, at = revision, type = 1): Uint8Array =>
  toBinary(
    AwarenessFanoutSchema,
    create(AwarenessFanoutSchema, {
      to: [EID],
      eid: about,
      revision: BigInt(revision),
      stanza: { case: "awareness", value: awarenessOf(about, at, type) },
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
  const fanouts = new Fanouts(users, metrics);
  const snapshots = { add: (awareness: SessionAwareness) => void queue.push(awareness) };
  const side = { metrics, fanouts, snapshots } as unknown as GatewayAwareness;
  const awareness = new SessionAwareness(side, socket, EID);
  sessions.push({ device: "phone", awareness });
  const answer = (revision: number, entries: Uint8Array[] = []): void =>
    awareness.arrived(encodeBodies(SNAPSHOT_ROUTE, entries), revision);
  return { socket, queue, fanouts, awareness, answer };
}

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
      const { socket, queue, fanouts, awareness, answer } = setUp();
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
      const stateAt = (revision: number): Uint8Array[] =>
        eids.flatMap((eid) => {
          const last = history.findLast((one) => one.eid === eid && one.revision <= revision);
          return last === undefined ? [] : [awarenessOf(eid, last.revision)];
        });
      const read = async (): Promise<void> => {
        if (reading === undefined) {
          if (queue.shift() !== awareness) return;
          reading = awareness.startReading();
          await turn(); // no answer comes sooner
          return;
        }
        if (roll() < 20) awareness.failed(); // tried again
        const needed = awareness.startReading();
        // A replica that lags, but not behind what was asked for.
        const newest = history.length + 1;
        const revision = Math.min(newest, needed + (roll() % 4));
        reading = undefined;
        answer(Math.max(revision, needed), stateAt(revision));
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

      const shown = new Map<string, number>();
      for (const stanza of socket.stanzas) {
        const list =
          stanza.kind === "body" ? stanza.value.awarenessList : stanza.kind === "awareness" ? [stanza.value] : [];
        const before = new Map(shown);
        if (stanza.kind === "body" && stanza.value.route === 9n) shown.clear();
        for (const { from, details } of list) {
          const eid = from?.eid ?? "";
          expect(Number(details)).toBeGreaterThanOrEqual(before.get(eid) ?? 0);
          shown.set(eid, Number(details));
        }
      }
      const truth = new Map(history.map(({ eid, revision }) => [eid, revision]));
      expect(shown).toEqual(truth);
      expect(told(socket)[0]?.[0]).toBe("route 9");
      fanouts.stop();
    }),
    { numRuns: 300 },
  );
});

test("a snapshot that the socket does not take at once goes on at its drain; changes wait for its end", async () => {
  const { socket, queue, fanouts, awareness } = setUp();
  awareness.begin(1);
  expect(queue).toEqual([awareness]);
  expect(awareness.startReading()).toBe(1);
  socket.congests = () => true;
  const frames = [
    ...encodeBodies(SNAPSHOT_ROUTE, [awarenessOf("a@x", 1)]),
    encodePayload("awarenessContact", new Uint8Array()),
  ];
  awareness.arrived(frames, 1);
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

test("a slow socket gets a new snapshot once a second at most", async () => {
  const { socket, queue, fanouts, awareness, answer } = setUp();
  awareness.begin(1);
  queue.shift();
  awareness.startReading();
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
  expect(awareness.startReading()).toBe(revision);
  expect(awareness.repeatsRequests).toBe(false);
  answer(revision);
  miss();
  expect(queue).toHaveLength(0);
  fanouts.stop();
});

test("of what waits, the newest of its type is told; what is for the user alone is told too", async () => {
  const { socket, fanouts, awareness, answer } = setUp();
  awareness.begin(1);
  awareness.startReading();
  fanouts.take(fanoutOf("a@x", 5));
  fanouts.take(fanoutOf("a@x", 6, 6, 2));
  fanouts.take(fanoutOf("a@x", 7));
  fanouts.take(fanoutOf("a@x", 0, 100));
  fanouts.take(fanoutOf("b@x", 2));
  answer(4);
  await turn();
  expect(told(socket)).toEqual([["route 9"], ["route 2", "a@x 6", "a@x 7", "a@x 100"]]);
  fanouts.stop();
});

test("an end lets go of whoever waits, and nothing is told any more", async () => {
  const { socket, queue, fanouts, awareness, answer } = setUp();
  const registered = awareness.registered();
  socket.congested = true;
  const writable = awareness.writable();
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
