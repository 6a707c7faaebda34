import type { HttpRequest, HttpResponse, TemplatedApp, us_listen_socket, WebSocket } from "uWebSockets.js";
import { STATUS_CODES } from "node:http";
import { answerAdmin, type Health, type Metrics } from "@bimip/runtime";
import type { Admission, ClientSocket, ConnectRequest, Door, SocketHandler, Transport } from "../ports.js";
import { loadUws } from "./load-uws.js";

const SUBPROTOCOL = "bimip.v1";
const BEARER_PROTOCOL = "bearer.";
/** What uWS's `send` answers; 0 = queued: it will arrive, but the peer is slow. */
const SENT = 1;
const DROPPED = 2;
/** So much is gathered for one socket in one turn: then it is sent, so that a slow peer shows before more is made for it. */
const GATHER_BYTES = 64 * 1_024;
/** LIBUS_LISTEN_EXCLUSIVE_PORT: a second process on the port fails instead of sharing it. */
const EXCLUSIVE_PORT = 1;

export interface UwsOptions {
  readonly host: string;
  readonly port: number;
  /** A longer frame is cut by the transport: the connection ends. */
  readonly maxFrameBytes: number;
  /** What a slow peer may have waiting in our memory. */
  readonly maxBackpressureBytes: number;
  /** A silent peer is pinged before and closed after so long. */
  readonly idleTimeoutS: number;
  readonly health: Health;
  readonly metrics: Metrics;
  /** A connection was ended without a close frame, since it could not have carried one: see the metric. */
  readonly onCut: (reason: CutReason) => void;
}

/** dropped: the transport could not take a frame; unread: the peer asks and never reads the answers. */
export type CutReason = "dropped" | "unread";

interface UserData {
  /** Until the WebSocket is open. */
  admission: (Admission & { ok: true }) | undefined;
  handler: SocketHandler | undefined;
  socket: UwsSocket | undefined;
}

/** Sockets with gathered frames; emptied once per turn, so that a burst to one device is one system call. */
class Gathered {
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

class UwsSocket implements ClientSocket {
  readonly address: string;
  congested = false;
  readonly #gathered: Gathered;
  readonly #options: UwsOptions;
  #frames: Uint8Array[] = [];
  #waitingBytes = 0;
  #ws: WebSocket<UserData> | undefined;

  constructor(ws: WebSocket<UserData>, gathered: Gathered, options: UwsOptions) {
    this.#ws = ws;
    this.#gathered = gathered;
    this.#options = options;
    this.address = Buffer.from(ws.getRemoteAddressAsText()).toString();
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
    this.#ws?.end(code, reason);
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

/** Listens for WebSockets on /v1/ws, and answers /healthz, /readyz, /metrics. Rejects when the port is taken. */
export async function listenUws(options: UwsOptions, door: Door): Promise<Transport> {
  const uws = await loadUws();
  const app = uws.App();
  const gathered = new Gathered();
  app.ws<UserData>("/v1/ws", {
    maxPayloadLength: options.maxFrameBytes,
    maxBackpressure: options.maxBackpressureBytes,
    idleTimeout: options.idleTimeoutS,
    sendPingsAutomatically: true,
    compression: uws.DISABLED,
    upgrade: (response, request, context) => upgrade(door, response, request, context),
    open: (ws) => {
      const data = ws.getUserData();
      const { admission } = data;
      if (admission === undefined) return;
      data.admission = undefined;
      data.socket = new UwsSocket(ws, gathered, options);
      data.handler = door.open(data.socket, admission);
    },
    message: (ws, message) => {
      // The one copy of a frame: uWS takes its buffer back when this callback ends.
      ws.getUserData().handler?.onFrame(new Uint8Array(message.slice(0)));
    },
    drain: (ws) => {
      const { socket, handler } = ws.getUserData();
      if (ws.getBufferedAmount() === 0 && socket?.drained()) handler?.onDrain();
    },
    close: (ws) => {
      const { socket, handler } = ws.getUserData();
      socket?.forget();
      handler?.onClose();
    },
  });
  serveHttp(app, options);
  return new Promise((resolve, reject) => {
    const listen: ListenWithOptions = app.listen.bind(app) as unknown as ListenWithOptions;
    listen(options.host, options.port, EXCLUSIVE_PORT, (listening) => {
      if (!listening)
        return reject(new Error(`cannot listen on ${options.host}:${options.port} (BIMIP_HOST, BIMIP_PORT)`));
      resolve({
        port: uws.us_socket_local_port(listening),
        stopAccepting: () => uws.us_listen_socket_close(listening),
        close: () => void app.close(),
      });
    });
  });
}

/** The form with host and options exists, though not in the published types. */
type ListenWithOptions = (
  host: string,
  port: number,
  options: number,
  callback: (listening: us_listen_socket | false) => void,
) => void;

/** Everything of the request is read before the first await: afterwards it is gone. */
function upgrade(
  door: Door,
  response: HttpResponse,
  request: HttpRequest,
  context: Parameters<typeof response.upgrade>[4],
): void {
  let aborted = false;
  response.onAborted(() => {
    aborted = true;
  });
  const key = request.getHeader("sec-websocket-key");
  const extensions = request.getHeader("sec-websocket-extensions");
  const protocols = request
    .getHeader("sec-websocket-protocol")
    .split(",")
    .map((protocol) => protocol.trim());
  const connectRequest = readConnectRequest(request, protocols);
  const accepted = protocols.includes(SUBPROTOCOL) ? SUBPROTOCOL : "";
  void (async () => {
    const admission = await door.admit(connectRequest);
    if (aborted) return;
    if (admission.ok) {
      // Not within `response.cork`, which may take the new WebSocket for the HTTP response that it was, and close it at once
      // (uWebSockets pull request 1929, in no npm build yet): often the first of a process, later one of some thousand. An
      // admission that resolves in this turn is corked by uWS itself; after a later one it prints a warning and works.
      const data: UserData = { admission, handler: undefined, socket: undefined };
      return response.upgrade<UserData>(data, key, accepted, extensions, context);
    }
    response.cork(() => {
      response.writeStatus(`${admission.status} ${STATUS_CODES[admission.status] ?? ""}`);
      response.writeHeader("content-type", "text/plain; charset=utf-8").end(`${admission.message}\n`);
    });
  })();
}

const FAILED = { status: 500, contentType: "text/plain; charset=utf-8", body: "internal error" };
const NOT_FOUND = { status: 404, contentType: "text/plain; charset=utf-8", body: "BIMIP speaks WebSocket on /v1/ws" };

function readConnectRequest(request: HttpRequest, protocols: readonly string[]): ConnectRequest {
  const authorization = request.getHeader("authorization");
  const fromHeader = /^bearer +(.+)$/i.exec(authorization)?.[1];
  const fromProtocol = protocols
    .find((protocol) => protocol.startsWith(BEARER_PROTOCOL))
    ?.slice(BEARER_PROTOCOL.length);
  const query = new URLSearchParams(request.getQuery());
  return {
    token: fromHeader ?? fromProtocol ?? query.get("access_token") ?? undefined,
    device: query.get("device") ?? undefined,
    resume: query.get("resume") === "manual" ? "manual" : "automatic",
  };
}

/** The administrative paths share the port; anything else is 404. */
function serveHttp(app: TemplatedApp, sources: { health: Health; metrics: Metrics }): void {
  app.get("/*", (response, request) => {
    let aborted = false;
    response.onAborted(() => {
      aborted = true;
    });
    const answering = answerAdmin(request.getUrl(), sources).catch(() => FAILED);
    void answering.then((answer) => {
      if (aborted) return;
      const { status, contentType, body } = answer ?? NOT_FOUND;
      response.cork(() =>
        response
          .writeStatus(`${status} ${STATUS_CODES[status] ?? ""}`)
          .writeHeader("content-type", contentType)
          .end(`${body}\n`),
      );
    });
  });
}
