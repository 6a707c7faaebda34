import { STATUS_CODES } from "node:http";
import type { HttpRequest, HttpResponse, TemplatedApp, us_listen_socket, WebSocket } from "uWebSockets.js";
import { type AdminAnswer, answerAdmin } from "@bimip/runtime";
import type { Admission, Door, SocketHandler } from "../ports.js";
import type { CertificateFiles } from "./certificate.js";
import type { UwsOptions } from "./uws-options.js";
import { readForwardedFor, readUpgrade } from "./uws-request.js";
import { type Gathered, UwsSocket } from "./uws-socket.js";

type Uws = typeof import("uWebSockets.js");

/** LIBUS_LISTEN_EXCLUSIVE_PORT: a second process on the port fails instead of sharing it. */
const EXCLUSIVE_PORT = 1;
const SHARED_PORT = 0;
/** For TLS 1.2, which this library begins with; 1.3 has its own. Forward secret and authenticated only. */
const CIPHERS = [
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
].join(":");

const PROBES: ReadonlySet<string> = new Set(["/healthz", "/readyz"]);

interface UserData {
  /** Until the WebSocket is open. */
  admission: (Admission & { ok: true }) | undefined;
  handler: SocketHandler | undefined;
  socket: UwsSocket | undefined;
}

export interface UwsAppContext {
  readonly uws: Uws;
  readonly options: UwsOptions;
  readonly door: Door;
  readonly gathered: Gathered;
  /** Who is at the other end of a connection, where it is not the socket's peer. "": nobody who may connect here. */
  readonly peerOf: (address: string) => string;
}

/** One app of uWebSockets.js with our routes: `/v1/ws`, and over HTTP what operators ask. */
export class UwsApp {
  readonly #c: UwsAppContext;
  readonly #app: TemplatedApp;
  #listening: us_listen_socket | undefined;
  #connections = 0;
  #isRetired = false;
  #isClosed = false;

  /** @param certificate undefined: without TLS. @throws Error when the files cannot be used */
  constructor(context: UwsAppContext, certificate: CertificateFiles | undefined) {
    this.#c = context;
    this.#app = createApp(context.uws, certificate);
    this.#serveWebSockets();
    this.#serveHttp();
    this.#app.filter((response, change) => {
      // A connection that becomes a WebSocket is not told to have ended here.
      if (change === 1) this.#accept(response);
      else this.#gone();
    });
  }

  /** @param port 0 = any free one. @returns the port, undefined where it cannot be listened on */
  listen(host: string, port: number, isShared: boolean): number | undefined {
    let listening: us_listen_socket | false = false;
    const listen: ListenWithOptions = this.#app.listen.bind(this.#app) as unknown as ListenWithOptions;
    listen(host, port, isShared ? SHARED_PORT : EXCLUSIVE_PORT, (socket) => {
      listening = socket;
    });
    if (listening === false) return undefined;
    this.#listening = listening;
    return this.#c.uws.us_socket_local_port(listening);
  }

  stopListening(): void {
    if (this.#listening !== undefined) this.#c.uws.us_listen_socket_close(this.#listening);
    this.#listening = undefined;
  }

  /** No new connections; it closes when the last one that it has is gone. */
  retire(): void {
    this.#isRetired = true;
    this.stopListening();
    if (this.#connections === 0) this.close();
  }

  /** Ends all of its connections. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#listening = undefined;
    this.#app.close();
  }

  #accept(response: HttpResponse): void {
    this.#connections++;
    const peer = this.#peer(response);
    if (!this.#c.door.accept(peer) || peer === "") response.close();
  }

  #gone(): void {
    this.#connections--;
    this.#c.door.gone();
    // Not within its own callback.
    if (this.#isRetired && this.#connections === 0) setImmediate(() => this.close());
  }

  #peer(connection: HttpResponse): string {
    return this.#c.peerOf(Buffer.from(connection.getRemoteAddressAsText()).toString());
  }

  #serveWebSockets(): void {
    const { uws, options, door, gathered } = this.#c;
    this.#app.ws<UserData>("/v1/ws", {
      maxPayloadLength: options.maxFrameBytes,
      maxBackpressure: options.maxBackpressureBytes,
      idleTimeout: options.idleTimeoutS,
      sendPingsAutomatically: true,
      compression: uws.DISABLED,
      upgrade: (response, request, context) => this.#upgrade(response, request, context),
      open(ws) {
        const data = ws.getUserData();
        const { admission } = data;
        if (admission === undefined) return;
        data.admission = undefined;
        data.socket = new UwsSocket(ws, admission.address, gathered, options);
        data.handler = door.open(data.socket, admission);
      },
      message(ws, message) {
        ws.getUserData().handler?.onFrame(new Uint8Array(message));
      },
      drain(ws) {
        const { socket, handler } = ws.getUserData();
        if (ws.getBufferedAmount() === 0 && socket?.drained()) handler?.onDrain();
      },
      close: (ws) => {
        this.#onClose(ws);
        this.#gone();
      },
    });
  }

  #onClose(ws: WebSocket<UserData>): void {
    const { socket, handler } = ws.getUserData();
    socket?.forget();
    handler?.onClose();
  }

  /** Everything of the request is read before the first await: afterwards it is gone. */
  #upgrade(response: HttpResponse, request: HttpRequest, context: Parameters<typeof response.upgrade>[4]): void {
    let isAborted = false;
    response.onAborted(() => {
      isAborted = true;
    });
    const { door } = this.#c;
    const peer = this.#peer(response);
    door.asked(peer);
    const { connect, key, extensions, accepted } = readUpgrade(request, peer);
    void door.admit(connect).then((admission) => {
      if (isAborted) {
        if (admission.ok) admission.place.leave();
        return;
      }
      if (!admission.ok) return refuse(response, admission);
      // Not within `response.cork`, which may take the new WebSocket for the HTTP response that it was, and close it at once
      // (uWebSockets pull request 1929, in no npm build yet): often the first of a process, later one of some thousand. An
      // admission that resolves in this turn is corked by uWS itself; after a later one it prints a warning and works.
      const data: UserData = { admission, handler: undefined, socket: undefined };
      response.upgrade<UserData>(data, key, accepted, extensions, context);
    });
  }

  /** Whatever is asked over HTTP is answered once in a connection: the next one comes by the door again. */
  #serveHttp(): void {
    const { door, options } = this.#c;
    this.#app.any("/*", (response, request) => {
      let isAborted = false;
      response.onAborted(() => {
        isAborted = true;
      });
      const peer = this.#peer(response);
      door.asked(peer);
      // Who probes may share the address with clients: what is busy must not be taken for dead.
      const isProbe = PROBES.has(request.getUrl());
      const refusal = isProbe ? undefined : door.visit({ peer, forwardedFor: readForwardedFor(request) });
      if (refusal !== undefined) return refuse(response, refusal);
      const method = request.getMethod();
      const answering = answerHttp(method, request.getUrl(), options).catch(() => FAILED);
      void answering.then((given) => {
        if (!isAborted) answer(response, given, method === "head");
      });
    });
  }
}

/** The form with host and options exists, though not in the published types. The callback is called before it returns. */
type ListenWithOptions = (
  host: string,
  port: number,
  options: number,
  callback: (listening: us_listen_socket | false) => void,
) => void;

function createApp(uws: Uws, certificate: CertificateFiles | undefined): TemplatedApp {
  if (certificate === undefined) return uws.App();
  const { certFile, keyFile } = certificate;
  return uws.SSLApp({ cert_file_name: certFile, key_file_name: keyFile, ssl_ciphers: CIPHERS });
}

const PLAIN = "text/plain; charset=utf-8";
const FAILED: AdminAnswer = { status: 500, contentType: PLAIN, body: "internal error" };
const NOT_FOUND: AdminAnswer = { status: 404, contentType: PLAIN, body: "BIMIP speaks WebSocket on /v1/ws" };
const NOT_ALLOWED: AdminAnswer = { status: 405, contentType: PLAIN, body: "method not allowed" };

async function answerHttp(method: string, path: string, options: UwsOptions): Promise<AdminAnswer> {
  if (method !== "get" && method !== "head") return NOT_ALLOWED;
  const isAnswered = options.isAdmin || path === "/healthz";
  return (isAnswered ? await answerAdmin(path, options) : undefined) ?? NOT_FOUND;
}

function answer(response: HttpResponse, { status, contentType, body }: AdminAnswer, isHead: boolean): void {
  response.cork(() => {
    response.writeStatus(statusLine(status)).writeHeader("content-type", contentType);
    if (isHead) response.endWithoutBody(Buffer.byteLength(body) + 1, true);
    else response.end(`${body}\n`, true);
  });
}

function refuse(response: HttpResponse, { status, message, retryAfterS }: Admission & { ok: false }): void {
  response.cork(() => {
    response.writeStatus(statusLine(status)).writeHeader("content-type", PLAIN);
    if (retryAfterS !== undefined) response.writeHeader("retry-after", String(retryAfterS));
    response.end(`${message}\n`, true);
  });
}

function statusLine(status: number): string {
  return `${status} ${STATUS_CODES[status] ?? ""}`;
}
