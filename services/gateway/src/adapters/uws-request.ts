import type { HttpRequest } from "uWebSockets.js";
import { ownText } from "@bimip/protocol";
import type { ConnectRequest } from "../ports.js";

const SUBPROTOCOL = "bimip.v1";
const BEARER_PROTOCOL = "bearer.";

/** What an upgrade needs of the request, which is gone when its callback ends. */
export interface UpgradeRequest {
  readonly connect: ConnectRequest;
  readonly key: string;
  readonly extensions: string;
  /** The subprotocol to answer with, "" for none. */
  readonly accepted: string;
}

/** Reads it all. @param peer the connection's other end */
export function readUpgrade(request: HttpRequest, peer: string): UpgradeRequest {
  const protocols = request
    .getHeader("sec-websocket-protocol")
    .split(",")
    .map((protocol) => protocol.trim());
  const fromHeader = /^bearer +(.+)$/i.exec(request.getHeader("authorization"))?.[1];
  const fromProtocol = protocols
    .find((protocol) => protocol.startsWith(BEARER_PROTOCOL))
    ?.slice(BEARER_PROTOCOL.length);
  const query = new URLSearchParams(request.getQuery());
  const device = query.get("device");
  return {
    connect: {
      token: fromHeader ?? fromProtocol ?? query.get("access_token") ?? undefined,
      // A session keeps it, and must not keep the query with its token.
      device: device === null ? undefined : ownText(device),
      resume: query.get("resume") === "manual" ? "manual" : "automatic",
      peer,
      origins: readAll(request, "origin"),
      forwardedFor: readForwardedFor(request),
    },
    key: request.getHeader("sec-websocket-key"),
    extensions: request.getHeader("sec-websocket-extensions"),
    accepted: protocols.includes(SUBPROTOCOL) ? SUBPROTOCOL : "",
  };
}

/** Each X-Forwarded-For header, in order. */
export function readForwardedFor(request: HttpRequest): string[] {
  return readAll(request, "x-forwarded-for");
}

/** `getHeader` has the first one only, "" where there is none. */
function readAll(request: HttpRequest, wanted: string): string[] {
  const values: string[] = [];
  request.forEach((name, value) => {
    if (name === wanted) values.push(value);
  });
  return values;
}
