import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { HttpRequest } from "uWebSockets.js";
import { expect, it } from "vitest";
import { ClientAddresses } from "../door/client-address.js";
import { Networks } from "../door/address.js";
import { readUpgrade } from "./uws-request.js";

const COUNT = 3_000;

/** A request with a token of 3 KB and a header as long, each time another one. */
function request(n: number): HttpRequest {
  const filler = Buffer.alloc(3_000, 0x61 + (n % 26)).toString("latin1");
  const headers: Record<string, string> = { "x-forwarded-for": `${filler}, 203.0.113.1${10 + (n % 80)}` };
  return {
    getHeader: (name: string) => headers[name] ?? "",
    getQuery: () => `access_token=${filler}&device=a device with a long name ${n}`,
    forEach: (callback: (name: string, value: string) => void) => {
      for (const [name, value] of Object.entries(headers)) callback(name, value);
    },
  } as unknown as HttpRequest;
}

it("what is kept of a request, device and address, keeps nothing else of it: no token, no long header", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const addresses = new ClientAddresses({ source: "x-forwarded-for", trusted: new Networks(["127.0.0.1"]) });
  const kept: unknown[] = [];
  const keep = (n: number): void => {
    const { connect } = readUpgrade(request(n), "127.0.0.1");
    kept.push(connect.device, addresses.of(connect.peer, connect.forwardedFor));
  };
  keep(0);
  expect(kept).toEqual(["a device with a long name 0", "203.0.113.110"]);
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let n = 1; n <= COUNT; n++) keep(n);
  collect();
  expect((process.memoryUsage().heapUsed - before) / COUNT).toBeLessThan(500);
});
