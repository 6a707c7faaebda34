import { connect, type Socket } from "node:net";
import { upgradeHead } from "../kit/raw-http.js";

/**
 * What they say before they fall silent. connection: nothing. request: half of a request. handshake: half of TLS's first message.
 * websocket: they open one, without a token.
 */
export type SilentKind = "connection" | "request" | "handshake" | "websocket";

export interface SilentOrder {
  readonly port: number;
  readonly kind: SilentKind;
  /** How many they are to be at any time. */
  readonly count: number;
  /** Of this machine; they are spread evenly over them. */
  readonly addresses: readonly string[];
}

export interface SilentReport {
  /** Now, and at most at one time, connections that the gateway has not closed. */
  readonly open: number;
  readonly most: number;
  readonly opened: number;
  /** Answers to them by status, or `none`. */
  readonly answers: Readonly<Record<string, number>>;
}

const FIRST: Readonly<Record<SilentKind, Buffer>> = {
  connection: Buffer.alloc(0),
  request: Buffer.from("GET /v1/ws HTTP/1.1\r\nHost: localhost\r\n"),
  handshake: Buffer.from("16030100ba010000b60303", "hex"),
  websocket: Buffer.from(upgradeHead()),
};

const TURN_MS = 20;
/** As many are opened in a turn at most: the attack must not be one on the attacker. */
const PER_TURN = 60;

/** Connections that say nothing, or not all; the place of one that is closed is taken by the next one at once. */
export class SilentCrowd {
  readonly #order: SilentOrder;
  readonly #sockets = new Set<Socket>();
  readonly #answers: Record<string, number> = {};
  readonly #timer: NodeJS.Timeout;
  #opened = 0;
  #open = 0;
  #most = 0;

  constructor(order: SilentOrder) {
    this.#order = order;
    this.#timer = setInterval(() => this.#fill(), TURN_MS);
  }

  report(): SilentReport {
    return { open: this.#open, most: this.#most, opened: this.#opened, answers: { ...this.#answers } };
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  #fill(): void {
    const missing = Math.min(PER_TURN, this.#order.count - this.#sockets.size);
    for (let n = 0; n < missing; n++) this.#connect();
  }

  #connect(): void {
    const { port, kind, addresses } = this.#order;
    const localAddress = addresses[this.#opened++ % addresses.length] ?? "127.0.0.1";
    const socket = connect({ port, host: "127.0.0.1", localAddress, noDelay: true });
    let isOpen = false;
    let answer = "";
    this.#sockets.add(socket);
    socket.on("connect", () => {
      isOpen = true;
      this.#open++;
      this.#most = Math.max(this.#most, this.#open);
      if (FIRST[kind].length > 0) socket.write(FIRST[kind]);
    });
    socket.on("data", (chunk) => {
      answer ||= chunk.toString("latin1").split(" ")[1] ?? "";
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      const status = answer || "none";
      this.#answers[status] = (this.#answers[status] ?? 0) + 1;
      this.#sockets.delete(socket);
      if (isOpen) this.#open--;
    });
  }
}
