import type { Place, PlaceRefusal } from "../ports.js";
import { groupOf } from "./address.js";

/** How many connections there may be at once; 0 = any number. */
export interface ConnectionLimits {
  readonly connections: number;
  /** Of an address; of IPv6, of a /64 network. */
  readonly perAddress: number;
  /** Devices of an account. */
  readonly perUser: number;
  /** That have not sent a token. */
  readonly strangers: number;
  readonly strangersPerAddress: number;
}

export const NO_CONNECTION_LIMITS: ConnectionLimits = {
  connections: 0,
  perAddress: 0,
  perUser: 0,
  strangers: 0,
  strangersPerAddress: 0,
};

interface AtAddress {
  readonly group: string;
  connections: number;
  strangers: number;
}

/** Counts the connections of this gateway. Each has a place from its admission until it is closed. */
export class Connections {
  readonly limits: ConnectionLimits;
  count = 0;
  /** Of these without a token. */
  strangers = 0;
  readonly #addresses = new Map<string, AtAddress>();
  /** The device of each connection of an account: one is there twice while the newer takes the older's place. */
  readonly #users = new Map<string, string[]>();

  constructor(limits: ConnectionLimits) {
    this.limits = limits;
  }

  /** Addresses and accounts that are kept: those of open connections. */
  get size(): number {
    return this.#addresses.size + this.#users.size;
  }

  /** A place for one more, or why there is none. @param address as `readAddress` gives it */
  enter(address: string): Place | PlaceRefusal {
    const { connections, perAddress } = this.limits;
    if (isFull(this.count, connections)) {
      return refuse(503, "connections", `too many connections, at most ${connections} (BIMIP_MAX_CONNECTIONS)`);
    }
    const group = groupOf(address);
    const here = this.#addresses.get(group) ?? { group, connections: 0, strangers: 0 };
    if (isFull(here.connections, perAddress)) {
      const most = `at most ${perAddress} (BIMIP_MAX_CONNECTIONS_PER_ADDRESS)`;
      return refuse(429, "connections_per_address", `too many connections from this address, ${most}`);
    }
    this.#addresses.set(group, here);
    here.connections++;
    this.count++;
    return new CountedPlace(this, here);
  }

  /** The last connection of the address is gone. */
  forget({ group }: AtAddress): void {
    this.#addresses.delete(group);
  }

  /** A device that is connected already takes its own place. */
  enterUser(eid: string, device: string): PlaceRefusal | undefined {
    const { perUser } = this.limits;
    if (perUser === 0) return undefined;
    const devices = this.#users.get(eid);
    if (devices === undefined) this.#users.set(eid, [device]);
    else if (devices.length < perUser || devices.includes(device) || new Set(devices).size < perUser) {
      devices.push(device);
    } else {
      const most = `at most ${perUser} (BIMIP_MAX_CONNECTIONS_PER_USER)`;
      return refuse(429, "connections_per_user", `too many connections of this account, ${most}`);
    }
    return undefined;
  }

  leaveUser(eid: string, device: string): void {
    const devices = this.#users.get(eid);
    if (devices === undefined) return;
    const at = devices.indexOf(device);
    if (at >= 0) devices.splice(at, 1);
    if (devices.length === 0) this.#users.delete(eid);
  }
}

/** Fields and no closures: there is one for each open connection. */
class CountedPlace implements Place {
  readonly refused = undefined;
  readonly #connections: Connections;
  readonly #here: AtAddress;
  #state: "new" | "stranger" | "known" | "left" = "new";
  #eid = "";
  #device = "";

  constructor(connections: Connections, here: AtAddress) {
    this.#connections = connections;
    this.#here = here;
  }

  strange(): PlaceRefusal | undefined {
    if (this.#state !== "new") return undefined;
    const { strangers, strangersPerAddress } = this.#connections.limits;
    if (isFull(this.#connections.strangers, strangers)) {
      const most = `at most ${strangers} (BIMIP_MAX_UNAUTHENTICATED)`;
      return refuse(503, "unauthenticated", `too many connections without a token, ${most}`);
    }
    if (isFull(this.#here.strangers, strangersPerAddress)) {
      const most = `at most ${strangersPerAddress} (BIMIP_MAX_UNAUTHENTICATED_PER_ADDRESS)`;
      const details = `too many connections without a token from this address, ${most}`;
      return refuse(429, "unauthenticated_per_address", details);
    }
    this.#state = "stranger";
    this.#connections.strangers++;
    this.#here.strangers++;
    return undefined;
  }

  known(eid: string, device: string): PlaceRefusal | undefined {
    if (this.#state === "known" || this.#state === "left") return undefined;
    const refusal = this.#connections.enterUser(eid, device);
    if (refusal !== undefined) return refusal;
    this.#leaveStrangers();
    this.#state = "known";
    this.#eid = eid;
    this.#device = device;
    return undefined;
  }

  leave(): void {
    if (this.#state === "left") return;
    this.#leaveStrangers();
    if (this.#state === "known") this.#connections.leaveUser(this.#eid, this.#device);
    this.#state = "left";
    this.#connections.count--;
    if (--this.#here.connections === 0) this.#connections.forget(this.#here);
  }

  #leaveStrangers(): void {
    if (this.#state !== "stranger") return;
    this.#connections.strangers--;
    this.#here.strangers--;
  }
}

function isFull(count: number, limit: number): boolean {
  return limit > 0 && count >= limit;
}

function refuse(status: 429 | 503, limit: PlaceRefusal["refused"]["limit"], details: string): PlaceRefusal {
  return { refused: { status, limit, details } };
}
