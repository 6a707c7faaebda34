import type { Claims } from "@bimip/auth";

/**
 * One connected device's byte pipe, whatever carries it. Frames are kept in order; they leave together at the end of
 * the current turn of the event loop, or at `flush`.
 */
export interface ClientSocket {
  /** The peer's address, for listings and logs. */
  readonly address: string;
  /** True while the peer takes bytes more slowly than they come. What was sent will still arrive. */
  readonly congested: boolean;
  send(frame: Uint8Array): void;
  /** Hands over what `send` gathered; afterwards `congested` is current. */
  flush(): void;
  /** Sends what is gathered, then closes. `code` is a WebSocket close code (CloseCode). */
  close(code: number, reason: string): void;
}

/** What the gateway wants to hear of a socket. Nothing is called after `onClose`. */
export interface SocketHandler {
  /** One frame; the bytes are the handler's own. */
  onFrame(frame: Uint8Array): void;
  /** The socket is not congested any more. */
  onDrain(): void;
  onClose(): void;
}

export type ResumeMode = "automatic" | "manual";

/** What a device says when it connects. */
export interface ConnectRequest {
  /** From the header, the subprotocol or the query; absent: the first frame brings it. */
  readonly token: string | undefined;
  /** `?device=`: counts where the token names none. */
  readonly device: string | undefined;
  readonly resume: ResumeMode;
}

/** Who may come in. `claims` absent: not authenticated yet. */
export type Admission =
  | {
      readonly ok: true;
      readonly claims: Claims | undefined;
      /** The request's; the token is not kept. */
      readonly device: string | undefined;
      readonly resume: ResumeMode;
    }
  | { readonly ok: false; readonly status: 401 | 429 | 503; readonly message: string };

/** The gateway, as a transport sees it. */
export interface Door {
  admit(request: ConnectRequest): Promise<Admission>;
  open(socket: ClientSocket, admission: Admission & { ok: true }): SocketHandler;
}

/** WebSocket today, gRPC beside it later. */
export interface Transport {
  readonly port: number;
  /** No new connections from here on. */
  stopAccepting(): void;
  close(): void;
}
