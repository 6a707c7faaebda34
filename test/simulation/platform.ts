import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import timersPromises from "node:timers/promises";
import { createInbox } from "@nats-io/nats-core";
import type { Task, World } from "./world.js";

/** The platform's own clock and timers, for what drives the simulation. */
export const real = {
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  setInterval: globalThis.setInterval,
  clearInterval: globalThis.clearInterval,
  setImmediate: globalThis.setImmediate,
  clearImmediate: globalThis.clearImmediate,
  now: performance.now.bind(performance),
} as const;

const original = {
  dateNow: Date.now,
  random: Math.random,
  randomUUID: crypto.randomUUID,
  webRandomUUID: globalThis.crypto.randomUUID.bind(globalThis.crypto),
  delay: timersPromises.setTimeout,
};

createInbox(); // draws its first random number once per process: before any run, so that none differs from the others

/** An event loop is never punctual: timers come up to so much late. */
const TIMER_JITTER_MS = 0.5;
const IMMEDIATE_MS = 0.01;

class VirtualTimer {
  task: Task | undefined;
  unref(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  hasRef(): boolean {
    return true;
  }
  [Symbol.toPrimitive](): number {
    return this.task?.order ?? 0;
  }
}

/**
 * Puts a world's clock, timers and chance in the place of the platform's, for the code that runs in one of the world's
 * tasks; everything else keeps the real ones. So the code under test needs no clock passed in, and none can be
 * forgotten. Returns the way back.
 */
export function install(world: World): () => void {
  const chance = world.dice.fork();
  const after = (ms: number | undefined, kind: string, run: () => void): Task => {
    const owner = world.current;
    if (owner === undefined) throw new Error("no task runs");
    return world.schedule(
      owner,
      ms === undefined ? IMMEDIATE_MS : Math.max(1, ms) + chance.float() * TIMER_JITTER_MS,
      kind,
      run,
    );
  };
  const setTimeout = (run: (...a: unknown[]) => void, ms = 1, ...args: unknown[]): unknown => {
    if (world.current === undefined) return real.setTimeout(run, ms, ...args);
    const timer = new VirtualTimer();
    timer.task = after(ms, `timeout ${ms}`, () => {
      timer.task = undefined;
      run(...args);
    });
    return timer;
  };
  const setInterval = (run: (...a: unknown[]) => void, ms = 1, ...args: unknown[]): unknown => {
    if (world.current === undefined) return real.setInterval(run, ms, ...args);
    const timer = new VirtualTimer();
    const turn = (): void => {
      timer.task = after(ms, `interval ${ms}`, turn);
      run(...args);
    };
    timer.task = after(ms, `interval ${ms}`, turn);
    return timer;
  };
  const setImmediate = (run: (...a: unknown[]) => void, ...args: unknown[]): unknown => {
    if (world.current === undefined) return real.setImmediate(run, ...args);
    const timer = new VirtualTimer();
    timer.task = after(undefined, "immediate", () => run(...args));
    return timer;
  };
  const clear =
    (clearReal: (timer: never) => void) =>
    (timer: unknown): void => {
      if (!(timer instanceof VirtualTimer)) clearReal(timer as never);
      else if (timer.task !== undefined) timer.task.cancelled = true;
    };
  Object.assign(globalThis, {
    setTimeout,
    setInterval,
    setImmediate,
    clearTimeout: clear(real.clearTimeout as (timer: never) => void),
    clearInterval: clear(real.clearInterval as (timer: never) => void),
    clearImmediate: clear(real.clearImmediate as (timer: never) => void),
  });
  performance.now = () => (world.current === undefined ? real.now() : world.nowMs);
  Date.now = () => (world.current === undefined ? original.dateNow() : world.epochMs);
  const luck = world.dice.fork();
  Math.random = () => (world.current === undefined ? original.random() : luck.float());
  const uuid = (): ReturnType<typeof original.randomUUID> =>
    world.current === undefined ? original.randomUUID() : (chance.uuid() as ReturnType<typeof original.randomUUID>);
  crypto.randomUUID = uuid;
  globalThis.crypto.randomUUID = uuid;
  timersPromises.setTimeout = <T>(ms = 1, value?: T): Promise<T> => {
    if (world.current === undefined) return original.delay(ms, value);
    return new Promise<T>((resolve) => void after(ms, `delay ${ms}`, () => resolve(value as T)));
  };
  syncBuiltinESMExports();
  return () => {
    const { now: _now, ...timers } = real;
    Object.assign(globalThis, timers);
    Reflect.deleteProperty(performance, "now");
    Date.now = original.dateNow;
    Math.random = original.random;
    crypto.randomUUID = original.randomUUID;
    Reflect.deleteProperty(globalThis.crypto, "randomUUID");
    timersPromises.setTimeout = original.delay;
    syncBuiltinESMExports();
  };
}
