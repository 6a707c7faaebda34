import { loadConfig } from "@bimip/runtime";
import { expect, test } from "vitest";
import { developmentLimits } from "./development-limits.js";

test("what the environment does not set is off: rates, numbers of connections, abuse and lag, nothing else", () => {
  const limits = developmentLimits({ BIMIP_RATE_CONNECTS: "" });
  expect(limits).toMatchObject({
    BIMIP_RATE_CONNECTS: "off",
    BIMIP_RATE_MESSAGES: "off",
    BIMIP_RATE_OTHER_USER: "off",
    BIMIP_MAX_CONNECTIONS: "0",
    BIMIP_MAX_CONNECTIONS_PER_ADDRESS: "0",
    BIMIP_MAX_CONNECTIONS_PER_USER: "0",
    BIMIP_MAX_UNAUTHENTICATED: "0",
    BIMIP_MAX_UNAUTHENTICATED_PER_ADDRESS: "0",
    BIMIP_ABUSE_REFUSALS: "0",
    BIMIP_SHED_LAG_MS: "0",
  });
  expect(
    Object.keys(limits).filter((name) => !/^BIMIP_(?:RATE|MAX_CONN|MAX_UNAUTH|ABUSE_REFUSALS|SHED_LAG)/.test(name)),
  ).toEqual([]);
  expect(loadConfig(["BIMIP_RATE_MESSAGES", "BIMIP_MAX_CONNECTIONS"], limits)).toEqual({
    BIMIP_RATE_MESSAGES: undefined,
    BIMIP_MAX_CONNECTIONS: 0,
  });
});

test("what it sets stays", () => {
  const limits = developmentLimits({ BIMIP_RATE_CONNECTS: "5/10", BIMIP_MAX_CONNECTIONS: "7" });
  expect(limits).not.toHaveProperty("BIMIP_RATE_CONNECTS");
  expect(limits).not.toHaveProperty("BIMIP_MAX_CONNECTIONS");
  expect(limits).toHaveProperty("BIMIP_MAX_CONNECTIONS_PER_USER");
});
