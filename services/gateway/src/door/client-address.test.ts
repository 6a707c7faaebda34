import { describe, expect, test } from "vitest";
import { Networks } from "./address.js";
import { ClientAddresses } from "./client-address.js";

const trusted = new Networks(["10.0.0.0/8", "fd00::/8"]);
const forwarded = new ClientAddresses({ source: "x-forwarded-for", trusted });
const PROXY = "10.0.0.1";

describe("behind trusted proxies", () => {
  test.each<[what: string, header: string[], client: string]>([
    ["the client", ["192.0.2.1"], "192.0.2.1"],
    ["what a client forged stands to the left", ["1.1.1.1, 192.0.2.1"], "192.0.2.1"],
    ["trusted hops are skipped", ["192.0.2.1, 10.0.0.3, 10.0.0.2"], "192.0.2.1"],
    ["a forged trusted hop does not hide the client", ["10.9.9.9, 192.0.2.1, 10.0.0.2"], "192.0.2.1"],
    ["several headers are one list", ["1.1.1.1", "192.0.2.1, 10.0.0.2", "10.0.0.3"], "192.0.2.1"],
    ["nothing but proxies: the first of them", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"],
    ["no header", [], PROXY],
    ["an empty header", [""], PROXY],
    ["garbage", ["unknown"], PROXY],
    ["garbage behind a trusted hop is that hop's", ["1.1.1.1, nobody, 10.0.0.2"], "10.0.0.2"],
    ["a trailing comma says nothing", ["192.0.2.1,"], PROXY],
    ["with a port", ["192.0.2.1:4711"], "192.0.2.1"],
    ["IPv6", ["2001:DB8::1"], "2001:db8::1"],
    ["IPv6 in brackets", ["[2001:db8::1]"], "2001:db8::1"],
    ["IPv6 with a port", ["[2001:db8::1]:4711"], "2001:db8::1"],
    ["IPv4 in IPv6", ["::ffff:192.0.2.1"], "192.0.2.1"],
    ["a trusted hop of IPv6", ["192.0.2.1, fd00::5"], "192.0.2.1"],
    ["no octal, no short forms", ["0300.0.2.1"], PROXY],
    ["what follows an address", ["192.0.2.1 evil"], PROXY],
  ])("%s: %j", (_, header, client) => {
    expect(forwarded.of(PROXY, header)).toBe(client);
  });

  test("a peer in the transport's way of writing", () => {
    expect(forwarded.of("::ffff:10.0.0.1", ["192.0.2.1"])).toBe("192.0.2.1");
    expect(forwarded.isProxy(forwarded.read("::ffff:10.0.0.1"))).toBe(true);
  });
});

test("an untrusted peer says nothing about itself", () => {
  expect(forwarded.of("192.0.2.9", ["10.0.0.1"])).toBe("192.0.2.9");
  expect(forwarded.of("192.0.2.9", ["1.1.1.1"])).toBe("192.0.2.9");
  expect(forwarded.isProxy("192.0.2.9")).toBe(false);
});

test.each(["socket", "proxy-protocol"] as const)("%s: headers say nothing", (source) => {
  const addresses = new ClientAddresses({ source, trusted });
  expect(addresses.of(PROXY, ["192.0.2.1"])).toBe(PROXY);
  expect(addresses.isProxy(PROXY)).toBe(false);
});

test("a peer without an address is unknown", () => {
  expect(forwarded.of("", ["192.0.2.1"])).toBe("unknown");
});
