/** What the first bytes of a connection are. */
export type ProxyHeader =
  /** It may become a header; there are more bytes to come. */
  | { readonly kind: "incomplete" }
  /** Not one: a client's own bytes. */
  | { readonly kind: "none" }
  /** It begins as one and is not. */
  | { readonly kind: "broken" }
  /** `source`: the client; undefined where the proxy speaks for itself, or of no IP address. */
  | { readonly kind: "header"; readonly length: number; readonly source: string | undefined };

const V1 = Buffer.from("PROXY ");
/** With its line end, of two IPv6 addresses. */
const V1_BYTES = 107;
const V2 = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const V2_HEAD_BYTES = 16;
/** Addresses, and what a proxy adds of its TLS: host names, certificates' names. */
const V2_MAX_BYTES = 4_096;
const STREAM_IPV4 = 0x11;
const STREAM_IPV6 = 0x21;
const COMMAND_PROXY = 1;

/** Reads a header of the PROXY protocol, version 1 or 2, as HAProxy has described it. Never throws. */
export function readProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsAs(bytes, V2)) return bytes.length < V2_HEAD_BYTES ? { kind: "incomplete" } : readV2(bytes);
  if (startsAs(bytes, V1)) return bytes.length < V1.length ? { kind: "incomplete" } : readV1(bytes);
  return { kind: "none" };
}

function startsAs(bytes: Buffer, signature: Buffer): boolean {
  const length = Math.min(bytes.length, signature.length);
  return bytes.subarray(0, length).equals(signature.subarray(0, length));
}

/** `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n` */
function readV1(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, V1_BYTES).indexOf("\r\n");
  if (end < 0) return bytes.length < V1_BYTES ? { kind: "incomplete" } : { kind: "broken" };
  const [, family, source, ...rest] = bytes.toString("latin1", 0, end).split(" ");
  const length = end + 2;
  if (family === "UNKNOWN") return { kind: "header", length, source: undefined };
  if ((family !== "TCP4" && family !== "TCP6") || rest.length !== 3) return { kind: "broken" };
  return { kind: "header", length, source };
}

function readV2(bytes: Buffer): ProxyHeader {
  const command = bytes.readUInt8(12);
  const family = bytes.readUInt8(13);
  const size = bytes.readUInt16BE(14);
  const length = V2_HEAD_BYTES + size;
  if (command >> 4 !== 2 || size > V2_MAX_BYTES) return { kind: "broken" };
  if (bytes.length < length) return { kind: "incomplete" };
  // LOCAL: the proxy's own connection, to see whether we live.
  if ((command & 0xf) !== COMMAND_PROXY) return { kind: "header", length, source: undefined };
  const addresses = bytes.subarray(V2_HEAD_BYTES, length);
  if (family === STREAM_IPV4) {
    return size < 12 ? { kind: "broken" } : { kind: "header", length, source: addresses.subarray(0, 4).join(".") };
  }
  if (family === STREAM_IPV6) {
    return size < 36 ? { kind: "broken" } : { kind: "header", length, source: groups(addresses) };
  }
  return { kind: "header", length, source: undefined };
}

function groups(address: Buffer): string {
  return Array.from({ length: 8 }, (_, at) => address.readUInt16BE(at * 2).toString(16)).join(":");
}
