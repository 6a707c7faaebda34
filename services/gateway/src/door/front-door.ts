import { BimipError, ErrorCode } from "@bimip/protocol";
import { tokenRefusal } from "../authenticator.js";
import { Connection } from "../connection.js";
import type { Gateway } from "../gateway.js";
import type { Admission, ClientSocket, ConnectionLimit, ConnectRequest, Door, Place, SocketHandler } from "../ports.js";
import { groupOf } from "./address.js";
import { Arrivals } from "./arrivals.js";
import type { ClientAddresses } from "./client-address.js";
import type { ConnectRate } from "./connect-rate.js";
import type { Connections } from "./connections.js";
import type { Origins } from "./origin.js";
import { type DoorRefusal, refuseConnection, seat } from "./refusal.js";

export interface FrontDoorOptions {
  readonly addresses: ClientAddresses;
  readonly origins: Origins;
  readonly rate: ConnectRate;
  readonly connections: Connections;
  /** Whether the process has a file descriptor left for a connection. */
  readonly hasFiles: () => boolean;
}

type Refused = Admission & { ok: false };

/** Decides who comes in: before a byte is read by the other end's address, at the upgrade by the request. */
export class FrontDoor implements Door {
  readonly #gateway: Gateway;
  readonly #o: FrontDoorOptions;
  readonly #arrivals: Arrivals;
  #sockets = 0;

  constructor(gateway: Gateway, options: FrontDoorOptions) {
    this.#gateway = gateway;
    this.#o = options;
    this.#arrivals = new Arrivals(options.connections.limits.strangersPerAddress);
  }

  /** Accepted and not closed, whatever they are. */
  get sockets(): number {
    return this.#sockets;
  }

  accept(peer: string): boolean {
    this.#sockets++;
    const { addresses, connections, hasFiles } = this.#o;
    const { strangers: limit, strangersPerAddress } = connections.limits;
    const address = addresses.read(peer);
    if (!hasFiles()) return this.#turnAway("connections", address, 503, "no file descriptor is left for it");
    // Who has not asked anything is a stranger as well.
    const strangers = this.#sockets - connections.count + connections.strangers;
    const group = groupOf(address);
    const isProxy = addresses.isProxy(address);
    // The first of an address comes in even so: a few who hold many must not keep out everybody, tokens or not.
    if (limit > 0 && strangers > limit && (isProxy || this.#arrivals.has(group))) {
      return this.#turnAway("unauthenticated", address, 503, `at most ${limit} (BIMIP_MAX_UNAUTHENTICATED)`);
    }
    if (isProxy || this.#arrivals.take(group)) return true;
    const most = `at most ${strangersPerAddress} (BIMIP_MAX_UNAUTHENTICATED_PER_ADDRESS)`;
    return this.#turnAway("unauthenticated_per_address", address, 429, most);
  }

  asked(peer: string): void {
    this.#arrivals.asked(groupOf(this.#o.addresses.read(peer)));
  }

  visit({ peer, forwardedFor }: Pick<ConnectRequest, "peer" | "forwardedFor">): Refused | undefined {
    const address = this.#o.addresses.of(peer, forwardedFor);
    const waitMs = this.#o.rate.take(groupOf(address));
    return waitMs > 0 ? this.#refuse("rate", address, tooFast(waitMs)) : undefined;
  }

  gone(): void {
    this.#sockets--;
  }

  async admit(request: ConnectRequest): Promise<Admission> {
    const { draining, link, overload } = this.#gateway;
    if (draining) return { ok: false, status: 503, message: "this gateway is draining, try again" };
    if (!link.up) return { ok: false, status: 503, message: "NATS is away, try again" };
    const { addresses, origins, rate, connections } = this.#o;
    const address = addresses.of(request.peer, request.forwardedFor);
    if (overload.sheds) {
      overload.shed("connections");
      return this.#refuse("overload", address, { status: 503, details: "this gateway is overloaded, try again" });
    }
    if (!origins.allows(request.origins)) {
      const details = "origin: pages of this origin may not connect (BIMIP_ALLOWED_ORIGINS)";
      return this.#refuse("origin", address, { status: 403, details });
    }
    const waitMs = rate.take(groupOf(address));
    if (waitMs > 0) return this.#refuse("rate", address, tooFast(waitMs));
    const place = connections.enter(address);
    if (place.refused !== undefined) return this.#refuse(place.refused.limit, address, place.refused);
    const admission = await this.#seat(request, address, place);
    if (!admission.ok) place.leave();
    return admission;
  }

  open(socket: ClientSocket, admission: Admission & { ok: true }): SocketHandler {
    return new Connection(this.#gateway, socket, admission);
  }

  stop(): void {
    this.#arrivals.stop();
    this.#o.rate.stop();
  }

  async #seat({ token, device, resume }: ConnectRequest, address: string, place: Place): Promise<Admission> {
    if (token === undefined) {
      const refused = place.strange()?.refused;
      if (refused !== undefined) return this.#refuse(refused.limit, address, refused);
      return { ok: true, claims: undefined, device, resume, address, place };
    }
    try {
      const claims = await this.#gateway.authenticator.authenticate(token, device);
      const refused = seat(this.#gateway, place, claims, address);
      return refused === undefined ? { ok: true, claims, device, resume, address, place } : answerOf(refused);
    } catch (error) {
      return this.#badToken(error, address);
    }
  }

  #badToken(error: unknown, address: string): Refused {
    const { code, details } = BimipError.from(error);
    if (code !== ErrorCode.NOT_AUTHENTICATED) {
      return { ok: false, status: 503, message: code === ErrorCode.TRY_AGAIN ? details : "try again" };
    }
    this.#gateway.audit.refused({ ...tokenRefusal(error), code: 401, address, details });
    return { ok: false, status: 401, message: details };
  }

  #refuse(limit: ConnectionLimit, address: string, refusal: DoorRefusal): Refused {
    refuseConnection(this.#gateway, limit, address, refusal);
    return answerOf(refusal);
  }

  /** Where there is no request yet there is no answer. */
  #turnAway(limit: ConnectionLimit, address: string, status: 429 | 503, most: string): false {
    refuseConnection(this.#gateway, limit, address, { status, details: `closed before it asked anything: ${most}` });
    return false;
  }
}

function tooFast(waitMs: number): DoorRefusal {
  const retryAfterS = Math.ceil(waitMs / 1_000);
  const details = `too many new connections from this address (BIMIP_RATE_CONNECTS), try again in ${retryAfterS} s`;
  return { status: 429, details, retryAfterS };
}

function answerOf({ status, details, retryAfterS }: DoorRefusal): Refused {
  return { ok: false, status, message: details, retryAfterS };
}
