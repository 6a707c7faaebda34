import { encodeStanza, PingPongSchema, PingPongType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { randomId } from "./random-id.js";

/** The frame of a PingPong. */
export function pingPongFrame(type: PingPongType, id: string): Uint8Array {
  return encodeStanza("pingPong", create(PingPongSchema, { id, type, timestamp: BigInt(Date.now()) }));
}

/** Notices a dead peer: asks when it was silent for an interval, gives up when the next one brings no frame either. */
export class Keepalive {
  readonly #timer: ReturnType<typeof setInterval>;
  /** performance.now() of the last frame. */
  heardMs = performance.now();
  #heard = true;
  #asked = false;

  constructor(intervalMs: number, send: (frame: Uint8Array) => void, onDead: () => void) {
    this.#timer = setInterval(() => {
      if (this.#heard) {
        this.#heard = false;
        this.#asked = false;
      } else if (this.#asked) {
        this.stop();
        onDead();
      } else {
        this.#asked = true;
        send(pingPongFrame(PingPongType.PING, randomId()));
      }
    }, intervalMs);
  }

  /** Any frame came. */
  heard(): void {
    this.#heard = true;
    this.heardMs = performance.now();
  }

  /** What it sends is not being read: silence means nothing. */
  excuse(): void {
    this.#heard = true;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
