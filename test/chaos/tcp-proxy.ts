import { connect, createServer, type Socket } from "node:net";

/** Where a connection goes: a port on 127.0.0.1, or several to be tried in this order. */
export type Target = () => number | readonly number[];

/** A TCP proxy on 127.0.0.1 whose connections can be cut, frozen, delayed and slowed while they stand. */
export interface TcpProxy {
  readonly port: number;
  /** Of each connection that stands, the port that it comes from at the target. */
  readonly outgoingPorts: readonly number[];
  /** Resets what stands and refuses what comes, until `heal`. */
  cut(): void;
  /** Resets what stands; what comes is served. */
  reset(): void;
  /**
   * Until `heal` no byte passes, and no end of a connection either: each side believes in the other. `down` = only what
   * flows from the target to the one who dialled. New connections are accepted and wait.
   */
  freeze(direction?: "both" | "down"): void;
  /** Each byte arrives so much later, in each direction; 0 = at once. */
  delay(ms: number): void;
  /** What flows from the target to the one who dialled is limited to so many bytes a second. */
  slow(bytesPerSecond: number): void;
  /** Ends every fault; what was held goes on. Connections whose other side went meanwhile end now. */
  heal(): void;
  close(): Promise<void>;
}

interface Faults {
  isCut: boolean;
  frozen: "no" | "both" | "down";
  delayMs: number;
  downBytesPerSecond: number;
}

const NO_FAULTS: Faults = { isCut: false, frozen: "no", delayMs: 0, downBytesPerSecond: Number.POSITIVE_INFINITY };
/** What one direction of a delayed or slowed connection holds before it stops reading. */
const MAX_HELD_BYTES = 256 * 1024;

/** @param port default any free one */
export async function startTcpProxy(target: Target, port = 0): Promise<TcpProxy> {
  const faults = { ...NO_FAULTS };
  const links = new Set<Link>();
  const server = createServer((dialler) => {
    if (faults.isCut) {
      dialler.resetAndDestroy();
      return;
    }
    const link = new Link(dialler, target, faults, () => links.delete(link));
    links.add(link);
  });
  const listeningOn = await new Promise<number>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      if (typeof address === "object" && address !== null) resolve(address.port);
    });
  });
  const reset = (): void => {
    for (const link of links) link.reset();
  };
  const changed = (): void => {
    for (const link of links) link.pump();
  };
  return {
    port: listeningOn,
    get outgoingPorts() {
      return [...links].flatMap(({ outgoingPort }) => outgoingPort ?? []);
    },
    cut() {
      faults.isCut = true;
      reset();
    },
    reset,
    freeze(direction = "both") {
      faults.frozen = direction;
      changed();
    },
    delay(ms) {
      faults.delayMs = ms;
    },
    slow(bytesPerSecond) {
      faults.downBytesPerSecond = bytesPerSecond;
    },
    heal() {
      Object.assign(faults, NO_FAULTS);
      changed();
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      reset();
      await closed;
    },
  };
}

/** One connection: the side that dialled, the side that was dialled, a pipe for each direction. */
class Link {
  readonly #dialler: Socket;
  readonly #faults: Faults;
  readonly #onEnd: () => void;
  readonly #up: Pipe;
  #target: Socket | undefined;
  #down: Pipe | undefined;
  #ended = false;

  constructor(dialler: Socket, target: Target, faults: Faults, onEnd: () => void) {
    this.#dialler = dialler;
    this.#faults = faults;
    this.#onEnd = onEnd;
    dialler.setNoDelay(true);
    this.#up = new Pipe(dialler, () => this.#hold("up"), faults);
    const ports = target();
    this.#dial(typeof ports === "number" ? [ports] : ports);
  }

  get outgoingPort(): number | undefined {
    return this.#target?.localPort;
  }

  pump(): void {
    this.#up.pump();
    this.#down?.pump();
  }

  reset(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#up.stop();
    this.#down?.stop();
    this.#dialler.resetAndDestroy();
    this.#target?.resetAndDestroy();
    this.#onEnd();
  }

  #hold(direction: "up" | "down"): boolean {
    return this.#faults.frozen === "both" || (this.#faults.frozen === "down" && direction === "down");
  }

  #dial(ports: readonly number[]): void {
    const [port, ...others] = ports;
    if (port === undefined || this.#ended) return this.reset();
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    const refused = (): void => this.#dial(others);
    socket.once("error", refused);
    socket.once("connect", () => {
      socket.off("error", refused);
      if (this.#ended) {
        socket.resetAndDestroy();
        return;
      }
      this.#target = socket;
      this.#down = new Pipe(socket, () => this.#hold("down"), this.#faults, true);
      this.#up.connect(socket, () => this.#pipeEnded());
      this.#down.connect(this.#dialler, () => this.#pipeEnded());
    });
  }

  #pipeEnded(): void {
    if (!this.#dialler.closed || this.#target?.closed !== true) return;
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd();
  }
}

/** One direction. */
class Pipe {
  readonly #from: Socket;
  readonly #isHeld: () => boolean;
  readonly #faults: Faults;
  readonly #isDown: boolean;
  readonly #held: { readonly bytes: Buffer; readonly dueMs: number }[] = [];
  #heldBytes = 0;
  #to: Socket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lastDueMs = 0;
  #end: "open" | "finished" | "broken" = "open";

  constructor(from: Socket, isHeld: () => boolean, faults: Faults, isDown = false) {
    this.#from = from;
    this.#isHeld = isHeld;
    this.#faults = faults;
    this.#isDown = isDown;
    from.on("data", (bytes: Buffer) => this.#take(bytes));
    from.on("end", () => this.#over("finished"));
    from.on("error", () => this.#over("broken"));
    from.on("close", () => this.#over("finished"));
  }

  connect(to: Socket, onEnd: () => void): void {
    this.#to = to;
    to.on("drain", () => this.pump());
    to.on("close", onEnd);
    this.#from.on("close", onEnd);
    this.pump();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#held.length = 0;
  }

  pump(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const to = this.#to;
    if (to === undefined || this.#isHeld()) return this.#readOrPause();
    const now = performance.now();
    for (let first = this.#held[0]; first !== undefined; first = this.#held[0]) {
      if (first.dueMs > now) {
        this.#timer = setTimeout(() => this.pump(), first.dueMs - now);
        break;
      }
      this.#held.shift();
      this.#heldBytes -= first.bytes.length;
      if (to.destroyed) continue;
      if (!to.write(first.bytes)) break;
    }
    if (this.#held.length === 0 && this.#end === "finished") to.end();
    if (this.#held.length === 0 && this.#end === "broken" && !to.destroyed) to.resetAndDestroy();
    this.#readOrPause();
  }

  #take(bytes: Buffer): void {
    const now = performance.now();
    const rate = this.#isDown ? this.#faults.downBytesPerSecond : Number.POSITIVE_INFINITY;
    this.#lastDueMs = Math.max(now + this.#faults.delayMs, this.#lastDueMs) + (bytes.length / rate) * 1_000;
    this.#held.push({ bytes, dueMs: this.#lastDueMs });
    this.#heldBytes += bytes.length;
    this.pump();
  }

  #over(end: "finished" | "broken"): void {
    if (this.#end !== "open") return;
    this.#end = end;
    this.pump();
  }

  /** A frozen direction is not read either: the sender's kernel buffers fill up, as with a peer that sleeps. */
  #readOrPause(): void {
    const mayRead = !this.#isHeld() && this.#heldBytes < MAX_HELD_BYTES && this.#to?.writableNeedDrain !== true;
    if (mayRead) this.#from.resume();
    else this.#from.pause();
  }
}
