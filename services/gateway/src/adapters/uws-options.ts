import type { Health, Metrics } from "@bimip/runtime";
import type { CertificateFiles } from "./certificate.js";

/** dropped: the transport could not take a frame; unread: the peer asks and never reads the answers. */
export type CutReason = "dropped" | "unread";

export interface UwsOptions {
  readonly host: string;
  /** 0 = any free one. */
  readonly port: number;
  /** A longer frame is cut by the transport: the connection ends. */
  readonly maxFrameBytes: number;
  /** What a slow peer may have waiting in our memory. */
  readonly maxBackpressureBytes: number;
  /** A silent peer is pinged before and closed after so long. */
  readonly idleTimeoutS: number;
  readonly health: Health;
  readonly metrics: Metrics;
  /** `/readyz` and `/metrics` are answered here, beside `/healthz`. */
  readonly isAdmin: boolean;
  /** wss with this certificate, and with newer ones as the files change. Undefined: ws. */
  readonly tls?: TlsOptions | undefined;
  /** Proxies begin their connections with a PROXY protocol header. */
  readonly proxyProtocol?: ProxyProtocolOptions | undefined;
  /** A connection was ended without a close frame, since it could not have carried one: see the metric. */
  readonly onCut: (reason: CutReason) => void;
}

export interface TlsOptions {
  readonly files: CertificateFiles;
  /** How often the files are looked at. */
  readonly pollMs: number;
  /** The certificate in use, at the start and after each change. */
  readonly onUse: (certificate: { readonly expiresMs: number; readonly subject: string }) => void;
  /** The files have changed and cannot be used; the certificate in use stays. */
  readonly onError: (error: Error) => void;
}

export interface ProxyProtocolOptions {
  /** Whether the header of this peer is believed; who is not trusted sends none. */
  readonly isTrusted: (peer: string) => boolean;
  /** How long the header may take. */
  readonly timeoutMs: number;
}
