import { expect, test } from "vitest";
import { createLogger, settings } from "./index.js";

function capture(level: string) {
  const lines: string[] = [];
  const logger = createLogger("gateway", level, { write: (line: string) => void lines.push(line) });
  return { logger, parsed: () => lines.map((line): unknown => JSON.parse(line)), text: () => lines.join("") };
}

test("a line is JSON with service, level as a word and the time", () => {
  const { logger, parsed } = capture("info");
  logger.debug("not written");
  logger.info({ port: 4001 }, "listening");
  expect(parsed()).toEqual([
    { level: "info", time: expect.any(String), service: "gateway", pid: process.pid, port: 4001, msg: "listening" },
  ]);
});

test("secrets are not written", () => {
  const { logger, text } = capture("info");
  logger.info({ token: "hunter2", request: { headers: { authorization: "Bearer hunter2" } } }, "one");
  logger.info(
    { config: { secret: "hunter2", BIMIP_JWT_SECRET: "hunter2" }, query: { access_token: "hunter2" } },
    "two",
  );
  logger.child({ password: "hunter2" }).warn("three");
  expect(text()).not.toContain("hunter2");
  expect(text().split("\n")).toHaveLength(4);
});

test("settings that are secret, and what a push subscription is made of, are not written", () => {
  const { logger, text } = capture("info");
  const secretSettings = Object.entries(settings).filter(([, row]) => row.secret);
  expect(secretSettings.length).toBeGreaterThan(2);
  for (const [name] of secretSettings) logger.info({ [name]: "hunter2", config: { [name]: "hunter2" } }, "settings");
  logger.info({ refreshToken: "hunter2", key: { privateKey: "hunter2", seed: "hunter2" } }, "keys");
  logger.info({ push: { endpoint: "https://push/hunter2", keys: { auth: "hunter2", p256dh: "hunter2" } } }, "push");
  expect(text()).not.toContain("hunter2");
});

test("errors keep their cause", () => {
  const { logger, text } = capture("info");
  logger.error({ err: new Error("outer", { cause: new Error("inner") }) }, "failed");
  expect(text()).toContain("inner");
});
