import { expect, test } from "vitest";
import { ConfigError, loadConfig } from "./config.js";

const origins = (text: string): readonly string[] =>
  loadConfig(["BIMIP_ALLOWED_ORIGINS"], { BIMIP_ALLOWED_ORIGINS: text }).BIMIP_ALLOWED_ORIGINS;
const proxies = (text: string): readonly string[] =>
  loadConfig(["BIMIP_TRUSTED_PROXIES"], { BIMIP_TRUSTED_PROXIES: text }).BIMIP_TRUSTED_PROXIES;

test("origins as browsers send them", () => {
  expect(origins("")).toEqual(["*"]);
  const all = ["https://chat.example.com", "http://localhost:3000", "http://[::1]:80800".slice(0, -1), "app://local"];
  expect(origins(all.join(" , "))).toEqual(all);
});

test.each([
  "https://chat.example.com/",
  "https://chat.example.com:443",
  "https://Chat.example.com",
  "https://bücher.example",
  "https://*.example.com",
  "https://user@chat.example.com",
  "chat.example.com",
  "null",
  "https://a.example b.example",
  "file:///index.html",
])("%s is none: no browser would ever send it, or many pages would", (text) => {
  expect(() => origins(text)).toThrow(ConfigError);
  expect(() => origins(text)).toThrow("expected origins as browsers send them");
});

test("addresses and networks", () => {
  expect(proxies("")).toEqual([]);
  expect(proxies("10.0.0.0/8, 192.0.2.1,2001:db8::/32,::1")).toEqual([
    "10.0.0.0/8",
    "192.0.2.1",
    "2001:db8::/32",
    "::1",
  ]);
});

test.each([
  "10.0.0.0/33",
  "10.0.0/8",
  "2001:db8::/129",
  "proxy.example.com",
  "10.0.0.0/",
  "10.0.0.0/8/8",
  "fe80::1%eth0",
  "*",
])("%s is neither", (text) => {
  expect(() => proxies(text)).toThrow(ConfigError);
});
