import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Overload } from "./overload.js";

const MB = 1_048_576;
const IDLE = { processBytes: 100 * MB, heapBytes: 50 * MB, heapLimitBytes: 4_000 * MB };

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

function make(options: { lagMs?: number; memoryBytes?: number } = {}) {
  const changes: string[] = [];
  const world = { memory: { ...IDLE } };
  const overload = new Overload({
    lagMs: 500,
    memoryBytes: 200 * MB,
    ...options,
    onChange: (reason, sheds) => changes.push(`${reason} ${sheds ? "on" : "off"}`),
    onShed: () => undefined,
    memory: () => world.memory,
  });
  overload.start();
  const onTime = performance.now.bind(performance);
  let behindMs = 0;
  vi.spyOn(performance, "now").mockImplementation(() => onTime() + behindMs);
  /** The next looks come so late. */
  const look = (lateMs: number, times = 1): void => {
    for (let n = 0; n < times; n++) {
      behindMs += lateMs;
      vi.advanceTimersByTime(100);
    }
  };
  return { overload, changes, world, look };
}

describe("an event loop", () => {
  it("that is late twice in a row sheds, until it was well for a second", () => {
    const { overload, changes, look } = make();
    look(0, 5);
    look(600);
    expect(overload.sheds).toBe(false);
    look(500);
    expect(overload.sheds).toBe(true);
    look(0, 9);
    expect(overload.sheds).toBe(true);
    look(0);
    expect([overload.sheds, changes]).toEqual([false, ["lag on", "lag off"]]);
  });

  it("that is late now and then does not shed", () => {
    const { changes, look } = make();
    for (let n = 0; n < 20; n++) {
      look(5_000);
      look(0);
    }
    expect(changes).toEqual([]);
  });

  it("that is still half as late goes on shedding", () => {
    const { changes, look } = make();
    look(600, 2);
    for (let n = 0; n < 20; n++) {
      look(0, 9);
      look(300);
    }
    expect(changes).toEqual(["lag on"]);
  });

  it("may be as late as it likes with 0", () => {
    const { overload, look } = make({ lagMs: 0 });
    look(60_000, 5);
    expect(overload.sheds).toBe(false);
  });
});

describe("memory", () => {
  it("sheds beyond its limit, until there is some room again", () => {
    const { overload, changes, world, look } = make();
    const at = (processMb: number): boolean => {
      world.memory.processBytes = processMb * MB;
      look(0);
      return overload.sheds;
    };
    expect([199, 200, 195, 191, 189, 195].map(at)).toEqual([false, true, true, true, false, false]);
    expect(changes).toEqual(["memory on", "memory off"]);
  });

  it("of V8's heap counts as well: the process ends when it is full", () => {
    const { overload, world, look } = make();
    world.memory.heapBytes = 3_199 * MB;
    look(0);
    expect(overload.sheds).toBe(false);
    world.memory.heapBytes = 3_200 * MB;
    look(0);
    expect(overload.sheds).toBe(true);
  });

  it("is four fifths of what there is where nothing is set", () => {
    const { overload, world, look } = make({ memoryBytes: 0 });
    look(0);
    expect(overload.sheds).toBe(false);
    world.memory.processBytes = 1e15;
    look(0);
    expect(overload.sheds).toBe(true);
  });
});

it("goes on while one of two reasons holds", () => {
  const { overload, world, look } = make();
  look(600, 2);
  world.memory.processBytes = 300 * MB;
  look(0, 20);
  expect(overload.sheds).toBe(true);
  world.memory.processBytes = 100 * MB;
  look(0);
  expect(overload.sheds).toBe(false);
});

it("really measures", () => {
  const overload = new Overload({ lagMs: 0, memoryBytes: 1, onChange: () => undefined, onShed: () => undefined });
  overload.start();
  vi.advanceTimersByTime(100);
  expect(overload.sheds).toBe(true);
  overload.stop();
  expect(vi.getTimerCount()).toBe(0);
});
