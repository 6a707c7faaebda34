import type { Listener, Wire } from "./sockets.js";
import type { Truth } from "./truth.js";
import type { World } from "./world.js";

/** What a device needs to know of the simulation that it lives in. */
export interface Surroundings {
  readonly world: World;
  readonly truth: Truth;
  readonly gateways: () => readonly Listener[];
  readonly starts: (eid: string, device: string, asked: number, sinceMs: number) => Iterable<number>;
  readonly fail: (rule: string, details: string) => void;
}

export interface DeviceOptions {
  readonly eid: string;
  readonly name: string;
  readonly wire: Wire;
  /** Its outbox and position survive its process. */
  readonly keeps: boolean;
  readonly pingIntervalMs: number;
  /** Milliseconds that the application takes for a message, at most; 0: it answers within the call. */
  readonly handlerMs: number;
}
