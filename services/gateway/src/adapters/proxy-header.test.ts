import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ProxyHeader, readProxyHeader } from "./proxy-header.js";

const SIGNATURE = "0d0a0d0a000d0a515549540a";
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const IPV4 = "c0000201 c0000202 dc04 01bb";
const IPV6 = "20010db8000000000000000000000001 20010db8000000000000000000000002 dc04 01bb";
const REQUEST = Buffer.from("GET /v1/ws HTTP/1.1\r\n");

/** Of a header with a client's bytes behind it. */
const read = (header: Buffer): ProxyHeader => readProxyHeader(Buffer.concat([header, REQUEST]));
const v1 = (line: string): ProxyHeader => read(Buffer.from(line));
const v2 = (rest: string): ProxyHeader => read(hex(SIGNATURE + rest));

describe("version 1", () => {
  test.each([
    ["PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", "192.0.2.1"],
    ["PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", "2001:db8::1"],
    ["PROXY UNKNOWN\r\n", undefined],
    ["PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", undefined],
  ])("%j", (line, source) => {
    expect(v1(line)).toEqual({ kind: "header", length: line.length, source });
  });

  test.each([
    "PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n",
    "PROXY TCP4 192.0.2.1\r\n",
    "PROXY \r\n",
    `PROXY TCP4 ${"1".repeat(120)}`,
  ])("%j is broken", (line) => {
    expect(v1(line)).toEqual({ kind: "broken" });
  });
});

describe("version 2", () => {
  test.each([
    ["IPv4", `21 11 000c ${IPV4}`, 28, "192.0.2.1"],
    ["IPv6", `21 21 0024 ${IPV6}`, 52, "2001:db8:0:0:0:0:0:1"],
    ["IPv4 with more of the proxy's behind", `21 11 002c ${IPV4} ${"05".repeat(32)}`, 60, "192.0.2.1"],
    ["LOCAL", "20 00 0000", 16, undefined],
    ["LOCAL with addresses", `20 11 000c ${IPV4}`, 28, undefined],
    ["unspecified", "21 00 0000", 16, undefined],
    ["a Unix socket", `21 31 00d8 ${"41".repeat(216)}`, 232, undefined],
    ["datagrams", `21 12 000c ${IPV4}`, 28, undefined],
  ])("%s", (_, rest, length, source) => {
    expect(v2(rest)).toEqual({ kind: "header", length, source });
  });

  test.each([
    ["another version", `11 11 000c ${IPV4}`],
    ["too short for its addresses", "21 11 0004 c0000201"],
    ["too short for its addresses of IPv6", `21 21 000c ${IPV4}`],
    ["too long", "21 11 ffff"],
  ])("%s is broken", (_, rest) => {
    expect(v2(rest)).toEqual({ kind: "broken" });
  });
});

test.each(["GET / HTTP/1.1\r\n", "\x16\x03\x01", "\r\n\r\nGET /", "PROXYTCP4", "POST", "\r\r"])(
  "%j is a client's own",
  (text) => {
    expect(readProxyHeader(Buffer.from(text))).toEqual({ kind: "none" });
  },
);

test("byte by byte it is incomplete until it is whole", () => {
  for (const header of [
    Buffer.from("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
    hex(`${SIGNATURE} 21 11 000c ${IPV4}`),
  ]) {
    for (let length = 0; length < header.length; length++) {
      expect(readProxyHeader(header.subarray(0, length))).toEqual({ kind: "incomplete" });
    }
    expect(readProxyHeader(header).kind).toBe("header");
  }
});

test("it never throws, and never takes more than there is", () => {
  const start = fc.constantFrom(Buffer.from("PROXY "), hex(SIGNATURE), Buffer.alloc(0));
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 300 }), (first, rest) => {
      const bytes = Buffer.concat([first, rest]);
      const header = readProxyHeader(bytes);
      if (header.kind === "header") expect(header.length).toBeLessThanOrEqual(bytes.length);
    }),
    { numRuns: 2_000 },
  );
});
