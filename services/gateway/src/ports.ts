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
  /** One frame. The bytes are the transport's, and gone when this returns: what is refused is never copied. */
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
  /** The other end's address, as text: the client's, or its proxy's. */
  readonly peer: string;
  /** Each `Origin` header. */
  readonly origins: readonly string[];
  /** Each `X-Forwarded-For` header, in order. */
  readonly forwardedFor: readonly string[];
}

/** Which limit there is no room under; a label of the metric. */
export type ConnectionLimit =
  | "connections"
  | "connections_per_address"
  | "connections_per_user"
  | "unauthenticated"
  | "unauthenticated_per_address"
  | "rate"
  | "barred"
  | "origin"
  | "overload";

/** Why there is no place. */
export interface PlaceRefusal {
  readonly refused: { readonly status: 429 | 503; readonly limit: ConnectionLimit; readonly details: string };
}

/** One counted connection, from its admission to its end. */
export interface Place {
  readonly refused: undefined;
  /** It has no token yet. */
  strange(): PlaceRefusal | undefined;
  /** It is this device's. Undefined when there is room for it; again it is no news. */
  known(eid: string, device: string): PlaceRefusal | undefined;
  /** It has ended; again does nothing. */
  leave(): void;
}

/** Who may come in. `claims` absent: not authenticated yet. */
export type Admission =
  | {
      readonly ok: true;
      readonly claims: Claims | undefined;
      /** The request's; the token is not kept. */
      readonly device: string | undefined;
      readonly resume: ResumeMode;
      /** The client's. */
      readonly address: string;
      /** Whoever gets the admission sees to it that the place is left. */
      readonly place: Place;
    }
  | {
      readonly ok: false;
      readonly status: 401 | 403 | 429 | 503;
      readonly message: string;
      /** When to come back; undefined: nobody knows. */
      readonly retryAfterS?: number | undefined;
    };

/** The gateway, as a transport sees it. */
export interface Door {
  /** A connection was accepted, and nothing is known of it but its other end. False: it is closed at once. Each is told `gone` once. */
  accept(peer: string): boolean;
  /** An accepted connection has asked something, a WebSocket or not. */
  asked(peer: string): void;
  /** It is no WebSocket, and no probe: it may be answered (undefined), or not. */
  visit(request: Pick<ConnectRequest, "peer" | "forwardedFor">): (Admission & { ok: false }) | undefined;
  /** An accepted connection is closed, whatever became of it. */
  gone(): void;
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
