import type { Socket, SocketFactory, SocketHandlers } from "@bimip/client";
import type { ClientSocket, SocketHandler } from "../../services/gateway/src/ports.js";
import type { Process, World } from "./world.js";

/** What a connection is like. */
export interface Wire {
  /** Bytes that the system takes before the peer reads them. */
  readonly bufferBytes: number;
  /** From the gateway to the device. */
  readonly bytesPerMs: number;
  /** One way, at most, mostly. */
  readonly latencyMs: number;
}

/** Sees what passes on one connection. */
export interface Tap {
  fromDevice(bytes: Uint8Array): void;
  /** At the moment the gateway gives it to the socket; `congested`: which had said that it takes no more. */
  fromGateway(bytes: Uint8Array, congested: boolean): void;
  closed(): void;
}

/** A gateway, as a network sees it. */
export interface Listener {
  readonly process: Process;
  readonly connections: Set<Connection>;
  admit(url: URL, token: string): { refuse: number; text: string } | { open(socket: ClientSocket): SocketHandler };
}

const CLOSE_ABNORMAL = 1006;
/** The gateway's idle timeout ends what nobody else ended. */
const IDLE_TIMEOUT_MS = 60_000;
const MAX_WAITING_BYTES = 64 * 1024;

/**
 * A WebSocket between a device and a gateway: frames in order, latency, a bandwidth with a bounded buffer, and an end
 * that either side hears of at once, later or never.
 */
export class Connection {
  readonly device: Socket;
  readonly gateway: ClientSocket;
  readonly #world: World;
  readonly #wire: Wire;
  readonly #process: Process;
  readonly #listener: Listener;
  readonly #client: SocketHandlers;
  readonly #tap: Tap;
  #server: SocketHandler | undefined;
  #clientOpen = false;
  #clientEnded = false;
  #serverEnded = false;
  /** Nothing passes any more; who has not noticed does not know. */
  #dead = false;
  #upAtMs = 0;
  #downAtMs = 0;
  // The gateway's side, as services/gateway/src/adapters/uws.ts has it.
  #congested = false;
  #bufferedBytes = 0;
  #waitingBytes = 0;
  #frames: Uint8Array[] = [];
  #flushing = false;

  constructor(options: {
    world: World;
    wire: Wire;
    process: Process;
    listener: Listener;
    client: SocketHandlers;
    tap: (connection: Connection) => Tap;
  }) {
    this.#world = options.world;
    this.#wire = options.wire;
    this.#process = options.process;
    this.#listener = options.listener;
    this.#client = options.client;
    this.device = {
      send: (bytes) => this.#sendUp(bytes),
      close: (code, reason) => this.#closeByDevice(code, reason),
      terminate: () => this.#terminate(),
    };
    const congested = (): boolean => this.#congested;
    this.gateway = {
      address: "simulated",
      get congested() {
        return congested();
      },
      send: (frame) => this.#gather(frame),
      flush: () => this.#flush(),
      close: (code, reason) => this.#closeByGateway(code, reason),
    };
    this.#tap = options.tap(this);
  }

  get listener(): Listener {
    return this.#listener;
  }

  /** Frames pass, in both directions, and none waits. */
  get sound(): boolean {
    return !this.#dead && !this.#serverEnded && !this.#congested && this.#downAtMs <= this.#world.nowMs;
  }

  /** The device asks for the upgrade; checking the token takes a moment, in which it may have gone again. */
  connect(url: URL, token: string): void {
    this.#up("upgrade", () => {
      this.#later(this.#listener.process, this.#world.dice.between(0.1, 2), () => {
        if (!this.#dead && !this.#serverEnded) this.#admit(url, token);
      });
    });
  }

  #admit(url: URL, token: string): void {
    const admission = this.#listener.admit(url, token);
    if ("refuse" in admission) {
      return this.#down("refusal", 0, () => this.#endClient(CLOSE_ABNORMAL, admission.text, admission.refuse));
    }
    this.#listener.connections.add(this);
    this.#down("upgraded", 0, () => {
      this.#clientOpen = true;
      this.#client.onOpen();
    });
    this.#server = admission.open(this.gateway);
  }

  /** The connection breaks; each side hears of it after so long, `undefined` = the device never does. */
  break(deviceMs: number | undefined, gatewayMs = IDLE_TIMEOUT_MS): void {
    if (this.#dead) return;
    this.#dead = true;
    if (deviceMs !== undefined) this.#later(this.#process, deviceMs, () => this.#endClient(CLOSE_ABNORMAL, ""));
    this.#later(this.#listener.process, gatewayMs, () => this.#endServer());
  }

  /** The device's process was killed. */
  deviceDied(gatewayMs: number): void {
    this.#tap.closed();
    this.#clientEnded = true;
    this.break(undefined, gatewayMs);
  }

  /** The device reads nothing for a while. */
  stall(ms: number): void {
    this.#downAtMs = Math.max(this.#downAtMs, this.#world.nowMs + ms);
  }

  #sendUp(bytes: Uint8Array): void {
    if (!this.#clientOpen) return;
    this.#tap.fromDevice(bytes);
    const frame = bytes.slice();
    this.#up("frame up", () => {
      if (!this.#serverEnded) this.#server?.onFrame(frame);
    });
  }

  #closeByDevice(code: number, reason: string): void {
    this.#clientOpen = false;
    this.#up("close", () => {
      this.#endServer();
      this.#down("closed", 0, () => this.#endClient(code, reason));
    });
  }

  #terminate(): void {
    if (this.#clientEnded) return;
    this.#clientOpen = false;
    this.#up("reset", () => this.#endServer());
    this.#later(this.#process, 0.01, () => this.#endClient(CLOSE_ABNORMAL, ""));
  }

  #gather(frame: Uint8Array): void {
    if (this.#serverEnded) return;
    this.#tap.fromGateway(frame, this.#congested);
    this.#waitingBytes += frame.length;
    this.#frames.push(frame);
    if (this.#congested) {
      if (this.#waitingBytes > MAX_WAITING_BYTES) queueMicrotask(() => this.#abort());
    } else if (!this.#flushing) {
      this.#flushing = true;
      setImmediate(() => {
        this.#flushing = false;
        this.#flush();
      });
    }
  }

  #flush(): void {
    if (this.#serverEnded || this.#congested) return;
    const frames = this.#frames;
    let at = 0;
    while (at < frames.length && !this.#congested) {
      const frame = frames[at++] as Uint8Array;
      this.#waitingBytes -= frame.length;
      this.#bufferedBytes += frame.length;
      this.#congested = this.#bufferedBytes > this.#wire.bufferBytes;
      this.#frameDown(frame.slice());
    }
    this.#frames = frames.slice(at);
  }

  #frameDown(frame: Uint8Array): void {
    this.#down("frame down", frame.length, () => {
      if (!this.#clientEnded) this.#client.onFrame(frame);
    });
    this.#later(this.#listener.process, this.#downAtMs - this.#world.nowMs, () => {
      if (this.#serverEnded || this.#dead) return;
      this.#bufferedBytes -= frame.length;
      if (!this.#congested || this.#bufferedBytes > 0) return;
      this.#congested = false;
      this.#flush();
      if (!this.#congested) this.#server?.onDrain();
    });
  }

  #closeByGateway(code: number, reason: string): void {
    if (this.#serverEnded) return;
    this.#flush();
    this.#down("closed", 0, () => this.#endClient(code, reason));
    queueMicrotask(() => this.#endServer());
  }

  #abort(): void {
    this.#down("aborted", 0, () => this.#endClient(CLOSE_ABNORMAL, ""));
    this.#endServer();
  }

  #endServer(): void {
    this.#listener.connections.delete(this);
    if (this.#serverEnded) return;
    this.#serverEnded = true;
    this.#server?.onClose();
  }

  #endClient(code: number, reason: string, httpStatus?: number): void {
    if (this.#clientEnded) return;
    this.#clientEnded = true;
    this.#clientOpen = false;
    this.#tap.closed();
    this.#client.onClose({ code, reason, ...(httpStatus !== undefined && { httpStatus }) });
  }

  #up(kind: string, run: () => void): void {
    if (this.#dead) return;
    this.#upAtMs = Math.max(this.#upAtMs, this.#world.nowMs + this.#latencyMs());
    this.#later(this.#listener.process, this.#upAtMs - this.#world.nowMs, () => !this.#dead && run(), kind);
  }

  #down(kind: string, bytes: number, run: () => void): void {
    if (this.#dead) return;
    const startMs = Math.max(this.#downAtMs, this.#world.nowMs + this.#latencyMs());
    this.#downAtMs = startMs + bytes / this.#wire.bytesPerMs;
    this.#later(this.#process, this.#downAtMs - this.#world.nowMs, () => !this.#dead && run(), kind);
  }

  #later(owner: Process, ms: number, run: () => void, kind = "socket"): void {
    this.#world.schedule(owner, ms, kind, run);
  }

  #latencyMs(): number {
    const { dice } = this.#world;
    return dice.chance(0.03) ? dice.between(5, 80) : dice.between(0.2, this.#wire.latencyMs);
  }
}

/** Opens the connections of one device, each to a gateway that is picked anew; undefined = nobody listens. */
export function socketsOf(options: {
  world: World;
  process: Process;
  pick: () => Listener | undefined;
  wire: () => Wire;
  tap: (connection: Connection, url: URL) => Tap;
}): SocketFactory {
  const { world, process, pick, wire, tap } = options;
  return {
    sendsTokenInHeader: true,
    open(address, token, client) {
      const listener = pick();
      const url = new URL(address);
      if (listener === undefined) {
        const refused = { code: CLOSE_ABNORMAL, reason: "connection refused" };
        world.schedule(process, world.dice.between(1, 20), "refused", () => client.onClose(refused));
        return { send: () => undefined, close: () => undefined, terminate: () => undefined };
      }
      const connection = new Connection({
        world,
        wire: wire(),
        process,
        listener,
        client,
        tap: (opened) => tap(opened, url),
      });
      connection.connect(url, token);
      return connection.device;
    },
  };
}
