import { type Networks, readAddress } from "./address.js";

export interface ClientAddressOptions {
  /** `proxy-protocol` is the transport's: what it says is the peer was said by a trusted proxy already. */
  readonly source: "socket" | "x-forwarded-for" | "proxy-protocol";
  readonly trusted: Networks;
}

/** What is said of a peer whose address cannot be read; one such is counted as all of them. */
const UNKNOWN = "unknown";

/** Who the client is, behind the proxies that are trusted to say it. */
export class ClientAddresses {
  readonly #options: ClientAddressOptions;

  constructor(options: ClientAddressOptions) {
    this.#options = options;
  }

  /** Of the other end of a connection. */
  read(peer: string): string {
    return readAddress(peer) ?? UNKNOWN;
  }

  /** A connection from this address may be any client's. @param address as `read` gives it */
  isProxy(address: string): boolean {
    const { source, trusted } = this.#options;
    return source === "x-forwarded-for" && trusted.has(address);
  }

  /**
   * The header is read from its end, each proxy having added whom it heard: the first that is no trusted proxy is the client.
   * What stands before was written by whoever liked to. What is no address counts as not said: then it is the proxy that passed it on.
   *
   * @param peer of the socket
   * @param forwardedFor each X-Forwarded-For header, in order
   */
  of(peer: string, forwardedFor: readonly string[]): string {
    const { source, trusted } = this.#options;
    let client = this.read(peer);
    if (source !== "x-forwarded-for") return client;
    const hops = forwardedFor.join(",").split(",");
    while (trusted.has(client)) {
      const hop = readHop(hops.pop() ?? "");
      if (hop === undefined) break;
      client = hop;
    }
    return client;
  }
}

/** Some proxies add the port, and with it brackets around IPv6. */
function readHop(text: string): string | undefined {
  const hop = text.trim();
  const [, v6, v4] = /^(?:\[([^\]]*)\](?::\d{1,5})?|(\d+(?:\.\d+){3}):\d{1,5})$/.exec(hop) ?? [];
  return readAddress(v6 ?? v4 ?? hop);
}
