import type { WebSocket } from "uWebSockets.js";
import type { ClientSocket } from "../ports.js";
import type { CutReason } from "./uws-options.js";

/** What uWS's `send` answers; 0 = queued: it will arrive, but the peer is slow. */
const SENT = 1;
const DROPPED = 2;
/** What RFC 6455 leaves for the reason in a close frame. */
const reasonBytes = new Uint8Array(123);
const encoder = new TextEncoder();
/** So much is gathered for one socket in one turn: then it is sent, so that a slow peer shows before more is made for it. */
const GATHER_BYTES = 64 * 1_024;

/** Sockets with gathered frames; emptied once per turn, so that a burst to one device is one system call. */
export class Gathered {
  readonly #sockets = new Set<UwsSocket>();

  add(socket: UwsSocket): void {
    if (this.#sockets.size === 0) setImmediate(this.#flush);
    this.#sockets.add(socket);
  }

  readonly #flush = (): void => {
    for (const socket of this.#sockets) socket.flush();
    this.#sockets.clear();
  };
}

export interface UwsSocketOptions {
  readonly maxBackpressureBytes: number;
  readonly onCut: (reason: CutReason) => void;
}

export class UwsSocket implements ClientSocket {
  readonly address: string;
  congested = false;
  readonly #gathered: Gathered;
  readonly #options: UwsSocketOptions;
  #frames: Uint8Array[] = [];
  #waitingBytes = 0;
  #ws: WebSocket<unknown> | undefined;

  constructor(ws: WebSocket<unknown>, address: string, gathered: Gathered, options: UwsSocketOptions) {
    this.#ws = ws;
    this.address = address;
    this.#gathered = gathered;
    this.#options = options;
  }

  send(frame: Uint8Array): void {
    if (this.#ws === undefined) return;
    this.#waitingBytes += frame.length;
    this.#frames.push(frame);
    if (this.congested) return this.#limit();
    if (this.#waitingBytes >= GATHER_BYTES) return this.flush();
    if (this.#frames.length === 1) this.#gathered.add(this);
  }

  /** Stops at the first frame that the peer does not take at once; the rest waits for `drained`. */
  flush(): void {
    const ws = this.#ws;
    if (ws === undefined || this.congested || this.#frames.length === 0) return;
    const frames = this.#frames;
    let at = 0;
    ws.cork(() => {
      while (at < frames.length && !this.congested) {
        const frame = frames[at++] as Uint8Array;
        this.#waitingBytes -= frame.length;
        const result = ws.send(frame, true);
        this.congested = result !== SENT;
        // After a drop later sends could succeed again and leave a silent gap, so this connection has to end.
        if (result === DROPPED) this.#cut("dropped");
      }
    });
    this.#frames = at === frames.length ? [] : frames.slice(at);
  }

  /** The peer took everything. False when it was congested again by what waited here. */
  drained(): boolean {
    this.congested = false;
    this.flush();
    return !this.congested;
  }

  close(code: number, reason: string): void {
    this.flush();
    // uWS would cut at the byte, and half a character makes the peer refuse the frame.
    const { read } = encoder.encodeInto(reason, reasonBytes);
    this.#ws?.end(code, reason.slice(0, read));
  }

  /** After its close event every method of a uWS socket throws. */
  forget(): void {
    this.#ws = undefined;
    this.#frames = [];
  }

  /** A peer that asks and never reads the answers ends here; what it may miss is in its log. */
  #limit(): void {
    if (this.#waitingBytes > this.#options.maxBackpressureBytes) this.#cut("unread");
  }

  #cut(reason: CutReason): void {
    queueMicrotask(() => {
      if (this.#ws === undefined) return;
      this.#options.onCut(reason);
      this.#ws.close();
    });
  }
}
