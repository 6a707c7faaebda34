import { ownText } from "@bimip/protocol";
import { BlockList, isIPv4, isIPv6, SocketAddress } from "node:net";

const MAPPED = "::ffff:";

/** The one way to write an IP address: IPv6 short and in small letters, without zone; IPv4 in IPv6 as IPv4. Undefined: it is none. */
export function readAddress(text: string): string | undefined {
  // Kept as long as the connection: not as a slice of a header that is as long as the client likes.
  if (isIPv4(text)) return ownText(text);
  if (!isIPv6(text)) return undefined;
  const { address } = new SocketAddress({ address: text, family: "ipv6" });
  const last = address.slice(MAPPED.length);
  return address.startsWith(MAPPED) && isIPv4(last) ? last : address;
}

/**
 * What is counted as one client: an IPv4 address, of IPv6 the /64 network, as whoever has one address of it has them all.
 *
 * @param address as `readAddress` gives it; anything else is its own group
 */
export function groupOf(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = "", tail] = address.split("::");
  const groups = head === "" ? [] : head.split(":");
  // What `::` stands for. In the last 32 bits there may be dots, which are never among the first 64.
  if (tail !== undefined) groups.push(...fill(groups.length, tail));
  return `${groups.slice(0, 4).join(":")}::/64`;
}

/** Zeros up to where the groups behind `::` begin, then these. */
function fill(before: number, tail: string): string[] {
  const after = tail === "" ? [] : tail.split(":");
  const width = after.length + (tail.includes(".") ? 1 : 0);
  return [...Array.from({ length: Math.max(0, 8 - before - width) }, () => "0"), ...after];
}

/** Addresses and networks such as `10.0.0.0/8`. */
export class Networks {
  readonly #list = new BlockList();
  readonly #isEmpty: boolean;

  /** @throws RangeError, TypeError for what is neither; the configuration holds no such */
  constructor(networks: readonly string[]) {
    this.#isEmpty = networks.length === 0;
    for (const network of networks) {
      const [address = "", prefix] = network.split("/");
      const family = isIPv4(address) ? "ipv4" : "ipv6";
      if (prefix === undefined) this.#list.addAddress(address, family);
      else this.#list.addSubnet(address, Number(prefix), family);
    }
  }

  /** @param address as `readAddress` gives it */
  has(address: string): boolean {
    if (this.#isEmpty) return false;
    return this.#list.check(address, isIPv4(address) ? "ipv4" : "ipv6");
  }
}
