import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { AskedInOrder } from "./asked-in-order.js";
import { LocationSender } from "./location-sender.js";

/** What one device asks of awareness; made with its first question. */
export class AwarenessRequests {
  readonly asked = new AskedInOrder();
  readonly location: LocationSender;

  constructor(gateway: Gateway, session: Session) {
    this.location = new LocationSender(gateway, session, this.asked);
  }

  /** The session is over. What was asked is done all the same, but for what says that the device is there. */
  end(): void {
    this.location.end();
  }
}
