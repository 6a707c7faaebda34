import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { AskedInOrder } from "./asked-in-order.js";
import { LocationSender } from "./location-sender.js";

/** What one device asks of awareness; made with its first question. */
export class AwarenessRequests {
  readonly asked = new AskedInOrder();
  readonly #gateway: Gateway;
  readonly #session: Session;
  #location: LocationSender | undefined;

  constructor(gateway: Gateway, session: Session) {
    this.#gateway = gateway;
    this.#session = session;
  }

  get location(): LocationSender {
    this.#location ??= new LocationSender(this.#gateway, this.#session, this.asked);
    return this.#location;
  }

  /** The session is over. What was asked is done all the same, but for what says that the device is there. */
  end(): void {
    this.#location?.end();
  }
}
