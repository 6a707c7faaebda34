import { expect, test } from "vitest";
import { type DoorSettings, doorProblems } from "./door-problems.js";

const GOOD: DoorSettings = {
  BIMIP_TLS_CERT_FILE: undefined,
  BIMIP_TLS_KEY_FILE: undefined,
  BIMIP_CLIENT_ADDRESS: "socket",
  BIMIP_TRUSTED_PROXIES: [],
};

test("what must go together is named", () => {
  expect(doorProblems(GOOD)).toEqual([]);
  expect(doorProblems({ ...GOOD, BIMIP_TLS_KEY_FILE: "a" })).toHaveLength(1);
  expect(doorProblems({ ...GOOD, BIMIP_TLS_CERT_FILE: "a", BIMIP_TLS_KEY_FILE: "b" })).toEqual([]);
  // Otherwise all clients would share the limits of the proxy's address, and nobody would know why.
  expect(doorProblems({ ...GOOD, BIMIP_TRUSTED_PROXIES: ["10.0.0.1"] })).toEqual([
    "BIMIP_TRUSTED_PROXIES says nothing with BIMIP_CLIENT_ADDRESS=socket: say how they tell the client's address",
  ]);
  expect(doorProblems({ ...GOOD, BIMIP_CLIENT_ADDRESS: "proxy-protocol" }, "darwin")).toEqual([
    "BIMIP_TRUSTED_PROXIES is required with BIMIP_CLIENT_ADDRESS=proxy-protocol",
    "BIMIP_CLIENT_ADDRESS=proxy-protocol works on Linux, not on darwin",
  ]);
});
