import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Place } from "../ports.js";
import { type ConnectionLimits, Connections, NO_CONNECTION_LIMITS } from "./connections.js";

const make = (limits: Partial<ConnectionLimits> = {}): Connections =>
  new Connections({ ...NO_CONNECTION_LIMITS, ...limits });

/** A place, or the limit that stood in the way. */
const enter = (connections: Connections, address: string): Place | string => {
  const place = connections.enter(address);
  return place.refused === undefined ? place : place.refused.limit;
};
const placeAt = (connections: Connections, address = "192.0.2.1"): Place => {
  const place = enter(connections, address);
  if (typeof place === "string") throw new Error(place);
  return place;
};

describe("limits", () => {
  test("of all", () => {
    const connections = make({ connections: 2 });
    const first = placeAt(connections);
    placeAt(connections, "192.0.2.2");
    expect(connections.enter("192.0.2.3").refused).toMatchObject({ status: 503, limit: "connections" });
    first.leave();
    placeAt(connections, "192.0.2.3");
  });

  test("of an address; of IPv6, of its /64", () => {
    const connections = make({ perAddress: 1 });
    placeAt(connections, "192.0.2.1");
    placeAt(connections, "2001:db8:0:1::1");
    expect(connections.enter("192.0.2.1").refused).toMatchObject({ status: 429, limit: "connections_per_address" });
    expect(enter(connections, "2001:db8:0:1:ffff::2")).toBe("connections_per_address");
    placeAt(connections, "2001:db8:0:2::1");
  });

  test("of those without a token", () => {
    const connections = make({ strangers: 2, strangersPerAddress: 1 });
    const [a, b, c] = ["192.0.2.1", "192.0.2.1", "192.0.2.2"].map((address) => placeAt(connections, address));
    expect(a?.strange()).toBeUndefined();
    expect(b?.strange()?.refused).toMatchObject({ status: 429, limit: "unauthenticated_per_address" });
    expect(c?.strange()).toBeUndefined();
    expect(placeAt(connections, "192.0.2.3").strange()?.refused).toMatchObject({
      status: 503,
      limit: "unauthenticated",
    });
    expect(a?.known("alice", "phone")).toBeUndefined();
    expect(b?.strange()).toBeUndefined();
    expect(connections.strangers).toBe(2);
  });

  test("of an account; a device takes its own place", () => {
    const connections = make({ perUser: 2 });
    const [phone, web, more] = Array.from({ length: 3 }, () => placeAt(connections));
    phone?.known("alice", "phone");
    web?.known("alice", "web");
    expect(more?.known("alice", "tablet")?.refused).toMatchObject({ status: 429, limit: "connections_per_user" });
    expect(more?.known("alice", "phone")).toBeUndefined();
    phone?.leave();
    expect(placeAt(connections).known("alice", "tablet")?.refused.limit).toBe("connections_per_user");
    expect(placeAt(connections).known("bob", "phone")).toBeUndefined();
    more?.leave();
    expect(placeAt(connections).known("alice", "tablet")).toBeUndefined();
  });
});

test("what was refused is named, with the setting", () => {
  const connections = make({ perAddress: 1 });
  placeAt(connections);
  expect(connections.enter("192.0.2.1").refused?.details).toBe(
    "too many connections from this address, at most 1 (BIMIP_MAX_CONNECTIONS_PER_ADDRESS)",
  );
});

test("whatever happens, and how often it is said, the counts are those of the open connections, and nothing is left at the end", () => {
  const step = fc.record({
    what: fc.constantFrom("enter", "strange", "known", "leave"),
    which: fc.nat(9),
    address: fc.constantFrom("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"),
    user: fc.constantFrom("a", "b"),
    device: fc.constantFrom("p", "q", "r"),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const connections = make({ connections: 8, perAddress: 4, perUser: 2, strangers: 4, strangersPerAddress: 2 });
      const open: Place[] = [];
      const strangers = new Set<Place>();
      const known = new Map<Place, string>();
      const left: Place[] = [];
      for (const { what, which, address, user, device } of steps) {
        const place = open[which];
        if (what === "enter") {
          const next = connections.enter(address);
          if (next.refused === undefined) open.push(next);
        } else if (place === undefined) {
          left[which]?.leave();
        } else if (what === "strange") {
          if (place.strange() === undefined && !known.has(place)) strangers.add(place);
        } else if (what === "known") {
          if (place.known(user, device) === undefined && !known.has(place)) known.set(place, `${user} ${device}`);
          if (known.has(place)) strangers.delete(place);
        } else {
          place.leave();
          open.splice(which, 1);
          strangers.delete(place);
          known.delete(place);
          left.push(place);
        }
        expect([connections.count, connections.strangers]).toEqual([open.length, strangers.size]);
        expect(open.length).toBeLessThanOrEqual(8);
        const devices = new Set(known.values());
        for (const eid of ["a", "b"]) {
          expect([...devices].filter((one) => one.startsWith(eid)).length).toBeLessThanOrEqual(2);
        }
      }
      for (const place of open) place.leave();
      expect([connections.count, connections.strangers, connections.size]).toEqual([0, 0, 0]);
    }),
    { numRuns: 300 },
  );
});
