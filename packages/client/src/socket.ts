/** What a socket tells its owner. After `onClose` nothing more is called. */
export interface SocketHandlers {
  /** The connection stands; with `sendsTokenInHeader` it is authenticated as well. */
  readonly onOpen: () => void;
  /** One binary WebSocket message. The bytes are the receiver's to keep. */
  readonly onFrame: (bytes: Uint8Array) => void;
  /** Called exactly once, also for a connection that never opened. */
  readonly onClose: (close: SocketClose) => void;
}

/** How a socket ended. */
export interface SocketClose {
  /** WebSocket close code; 1006 when the peer said none. */
  readonly code: number;
  readonly reason: string;
  /** HTTP status of a refused upgrade, where the platform tells it (Node does, browsers do not). */
  readonly httpStatus?: number;
}

/** One open (or opening) connection. */
export interface Socket {
  /** Sends one binary message; on a socket that is not open it does nothing. */
  send(bytes: Uint8Array): void;
  /** Closes with the handshake; `onClose` follows. */
  close(code: number, reason: string): void;
  /** Gives up on a peer that no longer answers, without waiting for it; `onClose` follows. */
  terminate(): void;
  /**
   * Reads no more until `resume`, so that the peer has to wait; frames on their way may still come. Undefined where the
   * platform cannot: browsers.
   */
  pause?(): void;
  resume?(): void;
}

/** Opens sockets: the port behind which Node, browsers and tests differ. */
export interface SocketFactory {
  /** true: `open` sends `Authorization: Bearer`; false: the client authenticates by its first frame. */
  readonly sendsTokenInHeader: boolean;
  /**
   * Begins to connect; the handlers are called later, never from within.
   *
   * @param token "" = the client authenticates by its first frame, whatever `sendsTokenInHeader` says
   */
  open(url: string, token: string, handlers: SocketHandlers): Socket;
}

/** Close code that stands for "ended without a close frame". */
export const ABNORMAL_CLOSE = 1006;
