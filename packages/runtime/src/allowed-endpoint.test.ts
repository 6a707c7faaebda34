import { expect, test } from "vitest";
import { isAllowedEndpoint } from "./allowed-endpoint.js";

const HOSTS = ["fcm.googleapis.com", "*.push.apple.com", "http://127.0.0.1:1234"];

test.each([
  "https://fcm.googleapis.com/fcm/send/abc",
  "https://FCM.googleapis.com/x",
  "https://web.push.apple.com/x",
  "https://a.b.push.apple.com/x",
  "https://fcm.googleapis.com:443/x",
  "http://127.0.0.1:1234/x",
])("%s is allowed", (endpoint) => {
  expect(isAllowedEndpoint(endpoint, HOSTS)).toBe(true);
});

test.each([
  "http://fcm.googleapis.com/x",
  "https://fcm.googleapis.com:8443/x",
  "https://fcm.googleapis.com.evil.example/x",
  "https://evil.example/fcm.googleapis.com",
  "https://fcm.googleapis.com@evil.example/",
  "https://user:pass@fcm.googleapis.com/x",
  "https://push.apple.com/x",
  "https://evilpush.apple.com/x",
  "http://127.0.0.1:1235/x",
  "http://127.0.0.1/x",
  "https://127.0.0.1:1234/x",
  "ftp://fcm.googleapis.com/x",
  "not an address",
  "",
])("%s is not", (endpoint) => {
  expect(isAllowedEndpoint(endpoint, HOSTS)).toBe(false);
});

test("a host that is listed without http:// is never called over http", () => {
  expect(isAllowedEndpoint("http://127.0.0.1:1234/x", ["127.0.0.1", "127.0.0.1:1234"])).toBe(false);
});
