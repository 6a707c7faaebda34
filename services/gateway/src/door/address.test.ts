import { expect, test } from "vitest";
import { groupOf, Networks, readAddress } from "./address.js";

test.each([
  ["192.0.2.1", "192.0.2.1"],
  ["::ffff:192.0.2.1", "192.0.2.1"],
  ["0000:0000:0000:0000:0000:ffff:c000:0201", "192.0.2.1"],
  ["2001:0DB8:0000:0000:0000:0000:0000:0001", "2001:db8::1"],
  ["fe80::1%eth0", "fe80::1"],
  ["::1", "::1"],
])("%s is written %s", (text, address) => {
  expect(readAddress(text)).toBe(address);
});

test.each([
  "",
  "unknown",
  "1.2.3",
  "1.2.3.256",
  "01.2.3.4",
  "0x7f.1",
  "1.2.3.4:80",
  "[::1]",
  ":::",
  "2001:db8::g",
  " 1.2.3.4",
])("%j is no address", (text) => {
  expect(readAddress(text)).toBeUndefined();
});

test.each([
  ["192.0.2.1", "192.0.2.1"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:db8:1:2::9", "2001:db8:1:2::/64"],
  ["2001:db8::1", "2001:db8:0:0::/64"],
  ["2001:db8::1:2:3:4:5", "2001:db8:0:1::/64"],
  ["::1", "0:0:0:0::/64"],
  ["::", "0:0:0:0::/64"],
  ["::1.2.3.4", "0:0:0:0::/64"],
  ["64:ff9b::102:304", "64:ff9b:0:0::/64"],
  ["unknown", "unknown"],
])("%s counts as %s", (address, group) => {
  expect(groupOf(address)).toBe(group);
});

test("networks hold what lies in them", () => {
  const networks = new Networks(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]);
  const has = (address: string): boolean => networks.has(readAddress(address) ?? "");
  expect(["10.255.0.1", "192.0.2.7", "2001:db8:ffff::1", "::ffff:10.1.1.1"].every(has)).toBe(true);
  expect(["11.0.0.1", "192.0.2.8", "2001:db9::1", "unknown"].some(has)).toBe(false);
  expect(new Networks([]).has("10.0.0.1")).toBe(false);
});
