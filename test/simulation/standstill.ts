import { SUBJECTS } from "@bimip/nats";
import type { Device } from "./device.js";
import { SimGateway } from "./gateway.js";
import type { NatsLink } from "./nats-link.js";
import type { Connection } from "./sockets.js";
import type { Simulation } from "./simulation.js";

interface Seen {
  readonly connection: Connection;
  readonly handed: number;
  readonly sinceMs: number;
  /** The newest copy that its gateway had heard of by then. */
  readonly heard: number;
}

/** What a gateway knows to be there is read from the log within this, all waits of retries and elections included. */
const PATIENCE_MS = 20_000;

/**
 * All is well and nothing comes, though the gateway must know that something is there: the copy of the entry or of a
 * later one came, NATS was away since, or the stream has a new leader. The periodic check of positions would find it
 * some time; it is there for what nobody can know.
 */
export class Standstill {
  readonly #simulation: Simulation;
  readonly #seen = new Map<Device, Seen>();

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
  }

  /** To be called now and then, after the last fault. */
  look(healed: boolean): void {
    const { nowMs } = this.#simulation.world;
    if (!healed) return this.#seen.clear();
    for (const device of this.#simulation.devices) {
      const { connection, handed, process } = device;
      if (!device.online || connection?.sound !== true || process.frozenUntilMs > nowMs) {
        this.#seen.delete(device);
        continue;
      }
      const before = this.#seen.get(device);
      if (before === undefined || before.connection !== connection || before.handed !== handed.size) {
        const heard = linkOf(connection)?.heard.get(SUBJECTS.live(device.eid)) ?? 0;
        this.#seen.set(device, { connection, handed: handed.size, sinceMs: nowMs, heard });
      } else if (nowMs - before.sinceMs > PATIENCE_MS) this.#judge(device, before);
    }
  }

  #judge(device: Device, { connection, sinceMs, heard }: Seen): void {
    const missing = device.missing();
    if (missing === undefined || device.handed.has(missing.seq)) return;
    const { eid, name } = device;
    const { electedAtMs } = this.#simulation.streamOf(eid);
    const wasAwayMs = Math.max(linkOf(connection)?.upSinceMs ?? 0, electedAtMs);
    if (wasAwayMs > sinceMs) return;
    const isKnown = heard >= missing.seq || wasAwayMs > missing.stored.atMs;
    if (!isKnown) return;
    this.#simulation.fail(
      "what a gateway can know of is delivered soon",
      `${eid}/${name}: ${missing.seq} ${missing.id}`,
    );
  }
}

function linkOf({ listener }: Connection): NatsLink | undefined {
  return listener instanceof SimGateway ? listener.link : undefined;
}
