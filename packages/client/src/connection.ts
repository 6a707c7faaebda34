import {
  BimipError,
  CloseCode,
  decodeFrame,
  encodeStanza,
  ErrorCode,
  SignalSchema,
  SignalStatus,
  SignalType,
  type Stanza,
  type TokenAuthority,
  TokenTask,
  TokenType,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { Keepalive } from "./keepalive.js";
import { isPassing } from "./passing.js";
import { randomId } from "./random-id.js";
import { ABNORMAL_CLOSE, type Socket, type SocketClose, type SocketFactory } from "./socket.js";
import { type Credential, firstFrame, tokensIn } from "./tokens/frames.js";
import type { Tokens } from "./tokens/token-store.js";

/** The server may send larger stanzas than it takes: pages of them. */
const MAX_INCOMING_BYTES = 64 * 1024 * 1024;
const CLOSE_TIMEOUT_MS = 2_000;

/** Why a connection ended. */
export interface ConnectionEnd extends SocketClose {
  /** What the server said in a stanza before it let us in, or why we gave up ourselves. */
  readonly error?: BimipError;
  /** The first frame was answered with a refusal: the same would be refused again. */
  readonly refused?: boolean;
}

export interface ConnectionHandlers {
  /** The first frame asked for tokens, and these came; `onAuthenticated` follows. */
  readonly onTokens: (tokens: Tokens) => void;
  /** Authenticated: the replay begins. */
  readonly onAuthenticated: () => void;
  /** Every stanza from then on. */
  readonly onStanza: (stanza: Stanza) => void;
  /** A frame that cannot be decoded; the connection goes on. */
  readonly onBadFrame: (error: BimipError) => void;
  /** Once; nothing is called after it. */
  readonly onEnd: (end: ConnectionEnd) => void;
}

export interface ConnectionOptions extends ConnectionHandlers {
  readonly sockets: SocketFactory;
  readonly url: string;
  readonly credential: Credential;
  /** The server waits for a RESUME. */
  readonly manual: boolean;
  /** How long opening and authenticating may take. */
  readonly connectTimeoutMs: number;
  readonly pingIntervalMs: number;
}

/**
 * One connection, from opening the socket to its end: authentication, frames, and whether the peer still lives.
 * The constructor throws where the platform cannot even try, such as for a token with a line break.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #timer: ReturnType<typeof setTimeout>;
  #state: "opening" | "authenticating" | "ready" | "ended" = "opening";
  #closeTimer: ReturnType<typeof setTimeout> | undefined;
  #keepalive: Keepalive | undefined;
  #error: BimipError | undefined;
  #refused = false;
  #reading = true;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#timer = setTimeout(
      () => this.#giveUp(new BimipError(ErrorCode.TIMED_OUT, "the server did not answer in time")),
      options.connectTimeoutMs,
    );
    try {
      const { credential } = options;
      this.#socket = options.sockets.open(options.url, credential.kind === "token" ? credential.token : "", {
        onOpen: () => this.#onOpen(),
        onFrame: (bytes) => this.#onFrame(bytes),
        onClose: (close) => this.#end(close),
      });
    } catch (error) {
      clearTimeout(this.#timer);
      throw error;
    }
  }

  /** The server waits for a RESUME. */
  get manual(): boolean {
    return this.#options.manual;
  }

  /** performance.now() of the last frame that came; 0 = none. */
  get heardMs(): number {
    return this.#keepalive?.heardMs ?? 0;
  }

  send(frame: Uint8Array): void {
    this.#socket.send(frame);
  }

  /**
   * Asks for what lies behind `index` of the log `epoch`; -1 = everything retained, epoch 0 = not known. Answers with the
   * id that the server's answer will have.
   */
  resume(index: bigint, epoch: bigint): string {
    const id = randomId();
    const signal = create(SignalSchema, {
      id,
      epoch,
      type: SignalType.REQUEST,
      status: SignalStatus.RESUME,
      monotonicId: index,
      timestamp: BigInt(Date.now()),
    });
    this.send(encodeStanza("signal", signal));
    return id;
  }

  get canPause(): boolean {
    return this.#socket.pause !== undefined;
  }

  /** false: the server is to wait with what it has, as far as the platform can make it. */
  setReading(reading: boolean): void {
    if (reading === this.#reading || this.#socket.pause === undefined) return;
    this.#reading = reading;
    this.#keepalive?.excuse();
    if (reading) this.#socket.resume?.();
    else this.#socket.pause();
  }

  /** Closes with the handshake; `onEnd` follows. A peer that does not answer it within the time-out is given up. */
  close(timeoutMs: number): void {
    if (this.#state === "ended") return;
    this.setReading(true);
    this.#socket.close(CloseCode.NORMAL, "");
    this.#closeTimer = setTimeout(() => this.#socket.terminate(), timeoutMs);
  }

  #end(close: SocketClose): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    clearTimeout(this.#timer);
    clearTimeout(this.#closeTimer);
    this.#keepalive?.stop();
    const error = this.#error === undefined ? {} : { error: this.#error };
    this.#options.onEnd({ ...close, ...error, ...(this.#refused && { refused: true }) });
  }

  #giveUp(error: BimipError): void {
    this.#error = error;
    this.#socket.terminate();
    this.#end({ code: ABNORMAL_CLOSE, reason: error.details });
  }

  #onOpen(): void {
    if (this.#state !== "opening") return;
    this.#keepalive = new Keepalive(
      this.#options.pingIntervalMs,
      (frame) => {
        if (!this.#reading) this.#keepalive?.excuse();
        else if (this.#state === "ready") this.send(frame);
      },
      () => this.#giveUp(new BimipError(ErrorCode.TIMED_OUT, "the server fell silent")),
    );
    const { credential, sockets } = this.#options;
    if (sockets.sendsTokenInHeader && credential.kind === "token") return this.#ready();
    this.#state = "authenticating";
    this.send(firstFrame(randomId(), credential));
  }

  #ready(): void {
    this.#state = "ready";
    clearTimeout(this.#timer);
    this.#options.onAuthenticated();
  }

  #onFrame(bytes: Uint8Array): void {
    if (this.#state === "ended") return;
    this.#keepalive?.heard();
    let stanza: Stanza;
    try {
      stanza = decodeFrame(bytes, { maxStanzaBytes: MAX_INCOMING_BYTES }).stanza;
    } catch (error) {
      return this.#options.onBadFrame(BimipError.from(error));
    }
    if (stanza.kind === "error" && stanza.value.code === ErrorCode.NOT_AUTHENTICATED)
      this.#error = toError(stanza.value);
    if (this.#state === "ready") return this.#options.onStanza(stanza);
    if (stanza.kind === "error") this.#onRefusal(toError(stanza.value));
    else if (stanza.kind === "tokenAuthority") this.#onAnswer(stanza.value);
  }

  /** To the first frame. */
  #onAnswer(authority: TokenAuthority): void {
    const isRefresh = this.#options.credential.kind === "refresh";
    if (authority.task !== (isRefresh ? TokenTask.REFRESH : TokenTask.AUTHENTICATE)) return;
    if (authority.type !== TokenType.RESULT) {
      const details = authority.details || "the token was refused";
      return this.#onRefusal(new BimipError(ErrorCode.NOT_AUTHENTICATED, details));
    }
    const tokens = isRefresh ? tokensIn(authority) : undefined;
    if (tokens !== undefined) this.#options.onTokens(tokens);
    else if (isRefresh) return this.#onRefusal(new BimipError(ErrorCode.INTERNAL, "the server sent no tokens"));
    this.#ready();
  }

  #onRefusal(error: BimipError): void {
    this.#error = error;
    this.#refused ||= !isPassing(error);
    clearTimeout(this.#timer);
    // The server closes with a code that says more, if it comes first.
    this.close(CLOSE_TIMEOUT_MS);
  }
}

/** An ErrorMessage as the error it speaks of. */
export function toError(message: { code: number; details: string; id: string }): BimipError {
  return new BimipError(
    message.code,
    message.details || `error ${message.code}`,
    message.id === "" ? {} : { id: message.id },
  );
}
