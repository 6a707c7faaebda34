import type { BimipError } from "@bimip/protocol";
import { randomId } from "../random-id.js";
import { Requests, type RequestsOptions } from "../requests.js";
import type { Visibility } from "./presence.js";
import { visibilityFrame } from "./stanzas.js";
import { SupersededIds } from "./superseded-ids.js";

/** Sets who may see the user. There is one setting: only the newest is ever sent again, so that the last call wins. */
export class OwnVisibility {
  readonly #requests: Requests<void>;
  readonly #superseded = new SupersededIds();
  /** Id of the newest. */
  #newest = "";

  constructor(options: Omit<RequestsOptions, "name">) {
    this.#requests = new Requests({ ...options, name: "awareness_visibility" });
  }

  /** What was sent and waits for its answer. */
  get underWay(): number {
    return this.#requests.underWay;
  }

  async set(visibility: Visibility): Promise<void> {
    const id = randomId();
    const frame = visibilityFrame(id, visibility);
    const older = this.#newest;
    this.#newest = id;
    if (this.#requests.has(older)) this.#superseded.add(older);
    return this.#requests.start({ id, frame }, older);
  }

  open(send: (frame: Uint8Array) => void): void {
    this.#requests.open(send);
  }

  interrupt(): void {
    this.#requests.interrupt();
    this.#superseded.clear();
  }

  abandon(error: BimipError): void {
    this.#requests.abandon(error);
  }

  answer(id: string): void {
    this.#requests.answer(id, undefined);
  }

  /** true if it was about one of ours. */
  refuse(error: BimipError): boolean {
    return this.#requests.refuse(error) || this.#superseded.excuses(error);
  }
}
