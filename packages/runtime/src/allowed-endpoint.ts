/**
 * Whether the router may call this address of a push subscription; the gateway takes no other. Subscriptions come from clients, so only hosts that
 * the operator listed are called, over https on its own port: anything else would let a client choose whom the router
 * talks to. A literal `http://host:port` in the list allows just that origin.
 *
 * @param hosts as in BIMIP_WEBPUSH_HOSTS: `name`, `*.name` for any host under it, or `http://host:port`
 */
export function isAllowedEndpoint(endpoint: string, hosts: readonly string[]): boolean {
  if (!URL.canParse(endpoint)) return false;
  const { protocol, origin, hostname, port, username, password } = new URL(endpoint);
  if (username !== "" || password !== "") return false;
  if (protocol === "http:") return hosts.includes(origin);
  if (protocol !== "https:" || port !== "") return false;
  return hosts.some((host) => {
    const name = host.toLowerCase();
    return name.startsWith("*.") ? hostname.endsWith(name.slice(1)) : hostname === name;
  });
}
