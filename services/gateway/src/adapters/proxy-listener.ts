import { createServer, type AddressInfo, connect, type Server, type Socket } from "node:net";
import { isIP } from "node:net";
import { readProxyHeader } from "./proxy-header.js";
import type { ProxyProtocolOptions } from "./uws-options.js";

const LOOPBACK = "127.0.0.1";
/** 127.1.0.0 and the 2^20 addresses behind: no other program's. */
const FIRST_SLOT = 0x7f_01_00_00;
const SLOTS = 1 << 20;

/**
 * Takes connections that begin with a PROXY protocol header, and hands what follows on to another listener on this machine, each
 * from a loopback address of its own: by that address the other one learns who the client is. uWebSockets.js has a reader of such
 * headers, but it breaks when a header comes in a packet of its own, believes everybody, and takes a second one from the client.
 */
export class ProxyListener {
  readonly #options: ProxyProtocolOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Clients by the address that their bytes are handed on from. */
  readonly #clients = new Map<string, string>();
  #nextSlot = 0;
  #targetPort = 0;

  private constructor(options: ProxyProtocolOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#take(socket));
  }

  /** @throws Error when the port cannot be listened on */
  static async listen(host: string, port: number, options: ProxyProtocolOptions): Promise<ProxyListener> {
    const listener = new ProxyListener(options);
    await new Promise<void>((resolve, reject) => {
      listener.#server.once("error", reject);
      listener.#server.listen({ host, port, exclusive: true }, resolve);
    });
    listener.#server.on("error", () => undefined);
    return listener;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Where new connections are handed on to. */
  set targetPort(port: number) {
    this.#targetPort = port;
  }

  /** Who the connection from this loopback address is; undefined: none of ours. */
  clientOf(address: string): string | undefined {
    return this.#clients.get(address);
  }

  stopAccepting(): void {
    this.#server.close();
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #take(socket: Socket): void {
    const peer = socket.remoteAddress;
    if (peer === undefined) return void socket.destroy();
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => undefined);
    socket.setNoDelay(true);
    if (!this.#options.isTrusted(peer)) return this.#handOn(socket, peer, undefined);
    this.#readHeader(socket, peer);
  }

  #readHeader(socket: Socket, peer: string): void {
    const late = setTimeout(() => socket.destroy(), this.#options.timeoutMs);
    let bytes = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk]);
      const header = readProxyHeader(bytes);
      if (header.kind === "incomplete") return;
      clearTimeout(late);
      socket.off("data", onData);
      socket.pause();
      if (header.kind === "broken") return void socket.destroy();
      const { length, source } = header.kind === "none" ? { length: 0, source: undefined } : header;
      // What is no address is the proxy's own connection as well.
      const client = source !== undefined && isIP(source) > 0 ? source : peer;
      this.#handOn(socket, client, bytes.subarray(length));
    };
    socket.on("data", onData);
    socket.once("close", () => clearTimeout(late));
  }

  #handOn(socket: Socket, client: string, first: Buffer | undefined): void {
    const localAddress = this.#slot();
    if (localAddress === undefined) return void socket.destroy();
    this.#clients.set(localAddress, client);
    const inner = connect({ port: this.#targetPort, host: LOOPBACK, localAddress, noDelay: true });
    inner.on("error", () => undefined);
    inner.on("close", () => {
      this.#clients.delete(localAddress);
      socket.destroy();
    });
    socket.on("close", () => inner.destroy());
    if (socket.destroyed) inner.destroy();
    if (first !== undefined && first.length > 0) inner.write(first);
    socket.pipe(inner);
    inner.pipe(socket);
  }

  /** A loopback address that is free; undefined: all are taken. */
  #slot(): string | undefined {
    for (let tries = 0; tries < SLOTS; tries++) {
      const number = FIRST_SLOT + this.#nextSlot;
      this.#nextSlot = (this.#nextSlot + 1) % SLOTS;
      const address = [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff).join(".");
      if (!this.#clients.has(address)) return address;
    }
    return undefined;
  }
}
