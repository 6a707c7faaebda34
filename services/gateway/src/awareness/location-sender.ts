import { call, PROCEDURES } from "@bimip/nats";
import type { Gateway } from "../gateway.js";
import { flowRefusal } from "../handlers/refusals.js";
import type { Session } from "../session.js";
import type { AskedInOrder } from "./asked-in-order.js";

/** A position on its way. */
export interface SaidLocation {
  readonly id: string;
  /** LocationStream as the device sent it. */
  readonly bytes: Uint8Array;
}

const EVERY_MS = 100;
const TIMEOUT_MS = 2_000;

/** The positions of one device: one every 100 ms at most, the newest. What awareness does not answer is not said again. */
export class LocationSender {
  readonly #gateway: Gateway;
  readonly #session: Session;
  readonly #asked: Pick<AskedInOrder, "settled">;
  #waiting: SaidLocation | undefined;
  #nextMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #underWay = false;
  #order = 0;

  constructor(gateway: Gateway, session: Session, asked: Pick<AskedInOrder, "settled">) {
    this.#gateway = gateway;
    this.#session = session;
    this.#asked = asked;
  }

  say(location: SaidLocation): void {
    this.#waiting = location;
    this.#goOn();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#waiting = undefined;
  }

  #goOn(): void {
    if (this.#underWay || this.#timer !== undefined || this.#waiting === undefined) return;
    const waitMs = this.#nextMs - performance.now();
    if (waitMs > 0) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#goOn();
      }, waitMs);
      return;
    }
    this.#underWay = true;
    void this.#tell().finally(() => {
      this.#underWay = false;
      this.#goOn();
    });
  }

  async #tell(): Promise<void> {
    const { eid, device, awareness } = this.#session;
    const { link, node } = this.#gateway;
    await awareness.registered();
    await this.#asked.settled(); // a block that was said before holds for it
    const said = this.#waiting;
    if (said === undefined) return;
    this.#waiting = undefined;
    this.#nextMs = performance.now() + EVERY_MS;
    if (!link.up) return;
    // Grows over the device's sessions too.
    this.#order = Math.max(this.#order + 1, Date.now());
    const request = { eid, device, node, location: said.bytes, order: BigInt(this.#order) };
    const answer = await call(link.nc, PROCEDURES.location, request, TIMEOUT_MS).catch(() => undefined);
    if (answer !== undefined && answer.code !== 0) {
      this.#session.fail(flowRefusal(answer, "locationStream", said.id));
    }
  }
}
