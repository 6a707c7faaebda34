import type { ChaosDevice } from "./chaos-device.js";
import type { DeviceName } from "./history.js";
import type { Random } from "./random.js";

const USERS = 12;
const PARTNERS = 3;
const TICK_MS = 20;
const MAX_WAITING = 100;

/** Twelve users; every other one has two devices. */
export const DEVICES: readonly DeviceName[] = Array.from({ length: USERS }, (_, user): DeviceName[] => {
  const eid = `user${user + 1}@chaos`;
  return user % 2 === 0
    ? [
        { eid, device: "phone" },
        { eid, device: "laptop" },
      ]
    : [{ eid, device: "phone" }];
}).flat();

/** Steady traffic between random pairs. */
export interface Load {
  /** Messages sent so far, faults' own bursts not included. */
  readonly sent: number;
  stop(): void;
}

/**
 * Each device writes to a few users, itself perhaps among them. One that has many messages without SENT pauses.
 *
 * @param perSecond messages of all devices together
 */
export function startLoad(devices: readonly ChaosDevice[], random: Random, perSecond: number): Load {
  const eids = [...new Set(devices.map(({ eid }) => eid))];
  const partners = new Map(devices.map((device) => [device, random.shuffle(eids).slice(0, PARTNERS)]));
  let sent = 0;
  let due = 0;
  const timer = setInterval(() => {
    for (due += (perSecond * TICK_MS) / 1_000; due >= 1; due--) {
      const device = random.pick(devices);
      if (device.waiting >= MAX_WAITING) continue;
      device.send(random.pick(partners.get(device) ?? eids));
      sent++;
    }
  }, TICK_MS);
  return {
    get sent() {
      return sent;
    },
    stop: () => clearInterval(timer),
  };
}
