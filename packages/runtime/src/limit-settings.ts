import { isIP } from "node:net";
import { choice, list, rate, whole } from "./setting.js";

const connections = { min: 0, max: 10_000_000 } as const;

/** Who may connect, and how much each may send. Of one gateway each. */
export const limitSettings = {
  BIMIP_MAX_CONNECTIONS: whole({
    ...connections,
    default: 100_000,
    doc: "Open connections of a gateway. Beyond: HTTP 503. 0 = no limit.",
  }),
  BIMIP_MAX_CONNECTIONS_PER_ADDRESS: whole({
    ...connections,
    default: 1_000,
    doc: "Open connections from one address (of IPv6 one /64 network). Beyond: HTTP 429. 0 = no limit.",
  }),
  BIMIP_MAX_CONNECTIONS_PER_USER: whole({
    ...connections,
    default: 100,
    doc: "Connected devices of one account. Beyond: HTTP 429, or 429 and close 4429 in a first frame. 0 = no limit.",
  }),
  BIMIP_MAX_UNAUTHENTICATED: whole({
    ...connections,
    default: 10_000,
    doc: "Open connections that have not sent their token yet. Beyond: HTTP 503; closed, if they have not asked anything either and are not the first of their address. 0 = no limit.",
  }),
  BIMIP_MAX_UNAUTHENTICATED_PER_ADDRESS: whole({
    ...connections,
    default: 100,
    doc: "The same from one address. Beyond: HTTP 429. 0 = no limit.",
  }),
  BIMIP_RATE_CONNECTS: rate({
    default: "50/500",
    doc: "Connections that one address may open, and questions over HTTP but for `/healthz` and `/readyz`. Beyond: HTTP 429.",
  }),
  BIMIP_RATE_MESSAGES: rate({
    default: "50/200",
    doc: "Messages, push notifications and events of a session. Beyond: 429 with the time to try again.",
  }),
  BIMIP_RATE_MESSAGES_USER: rate({ default: "100/400", doc: "The same of all sessions of an account." }),
  BIMIP_RATE_SIGNALS: rate({ default: "200/2000", doc: "Signals of a session: receipts, typing, RESUME." }),
  BIMIP_RATE_SIGNALS_USER: rate({ default: "400/4000", doc: "The same of all sessions of an account." }),
  BIMIP_RATE_AWARENESS: rate({ default: "10/50", doc: "Presence, contact and visibility stanzas of a session." }),
  BIMIP_RATE_AWARENESS_USER: rate({ default: "20/100", doc: "The same of all sessions of an account." }),
  BIMIP_RATE_LOCATION: rate({ default: "20/40", doc: "Positions of a session (one in 100 ms is passed on)." }),
  BIMIP_RATE_LOCATION_USER: rate({ default: "40/80", doc: "The same of all sessions of an account." }),
  BIMIP_RATE_OTHER: rate({ default: "20/100", doc: "Queries, pings, token and logout stanzas of a session." }),
  BIMIP_RATE_OTHER_USER: rate({ default: "50/250", doc: "The same of all sessions of an account." }),
  BIMIP_RATE_BYTES: rate({
    unit: "bytes",
    default: "262144/1048576",
    doc: "Bytes of a session's stanzas, whatever they are. A single one may be larger than the burst.",
  }),
  BIMIP_RATE_BYTES_USER: rate({
    unit: "bytes",
    default: "524288/2097152",
    doc: "The same of all sessions of an account.",
  }),
  BIMIP_ABUSE_REFUSALS: whole({
    min: 0,
    max: 1_000_000,
    default: 200,
    doc: "So many stanzas of a session refused with 400 or 429 within the next setting's time close it with 4429. What was under way when the first was refused does not count: 1000 at most, of one second. 0 = never.",
  }),
  BIMIP_ABUSE_WINDOW_S: whole({
    min: 1,
    max: 3_600,
    unit: "seconds",
    default: 10,
    doc: "See above. For as long the account may not connect afterwards: HTTP 429.",
  }),
  BIMIP_SHED_LAG_MS: whole({
    min: 0,
    max: 60_000,
    unit: "milliseconds",
    default: 500,
    doc: "While a gateway's event loop is so far behind, it refuses new connections, messages and presence with 503 and drops typing and positions. 0 = never.",
  }),
  BIMIP_SHED_MEMORY_BYTES: whole({
    min: 0,
    max: 1_099_511_627_776,
    unit: "bytes",
    default: 0,
    doc: "The same while a gateway's process takes more memory. 0 = four fifths of what its container or machine has.",
  }),
  BIMIP_ALLOWED_ORIGINS: list({
    type: "origins such as `https://chat.example.com`, separated by commas, or `*`",
    default: "*",
    expected:
      "expected origins as browsers send them, such as https://chat.example.com (small letters, no default port, no path), or *",
    each: { test: isOrigin },
    doc: "Pages that may connect: what a browser says in `Origin`, compared exactly. Clients that send none are no browsers, and may. Others: HTTP 403.",
  }),
  BIMIP_TRUSTED_PROXIES: list({
    type: "addresses or networks such as `10.0.0.0/8`, separated by commas",
    default: "",
    each: { test: isNetwork },
    doc: "Proxies whose word on a client's address is believed.",
  }),
  BIMIP_CLIENT_ADDRESS: choice({
    of: ["socket", "x-forwarded-for", "proxy-protocol"],
    default: "socket",
    doc: "Where a trusted proxy says who the client is. `socket`: it is not asked. `proxy-protocol`: version 1 or 2, before TLS.",
  }),
} as const;

/** `*`, or what a browser would send: an address of a page's server without default port, or of an app with a scheme of its own. */
function isOrigin(text: string): boolean {
  if (text === "*") return true;
  if (!/^https?:/.test(text)) return /^[a-z][a-z0-9+.-]*:\/\/[^/\s*?#@]+$/.test(text);
  return !text.includes("*") && URL.canParse(text) && new URL(text).origin === text;
}

/** An IP address, or a network with the length of its prefix. */
function isNetwork(text: string): boolean {
  const [address = "", prefix, ...rest] = text.split("/");
  const family = isIP(address);
  if (family === 0 || address.includes("%") || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128));
}
