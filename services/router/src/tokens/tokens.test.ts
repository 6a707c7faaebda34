// What the router says at its start of settings that it cannot use, or not as they are.
import { createMetrics } from "@bimip/runtime";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { tokenConfig } from "./token-config.js";
import { serveTokens } from "./tokens.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "bimip-tokens-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** Starts as far as it gets without NATS. */
async function start(
  path: string,
  maxLifetimeS: number,
): Promise<{ readonly problem: string; readonly warned: string[] }> {
  const config = tokenConfig({
    BIMIP_JWT_AUDIENCE: [],
    BIMIP_JWT_CLOCK_SKEW_S: 5,
    BIMIP_JWT_ISSUER: [],
    BIMIP_JWT_MAX_LIFETIME_S: maxLifetimeS,
    BIMIP_REFRESH_GRACE_MS: 0,
    BIMIP_REFRESH_LIFETIME_S: 60,
    BIMIP_TOKEN_LIFETIME_S: 900,
    BIMIP_TOKEN_SIGNING_KEY_FILE: [path],
  });
  const warned: string[] = [];
  const logger = { info: () => undefined, warn: (_: object, text: string) => void warned.push(text) } as never;
  const link = { nc: undefined } as never;
  const parts = { config, link, registry: undefined as never, metrics: createMetrics("test"), logger };
  const problem = await serveTokens(parts).then(() => "", String);
  return { problem, warned };
}

test("a signing key that cannot be read: the setting is named, and the file", async () => {
  const path = join(folder, "gone");
  expect((await start(path, 0)).problem).toContain(`BIMIP_TOKEN_SIGNING_KEY_FILE: ${path}: ENOENT`);
});

test("tokens that are to live longer than gateways take them: a warning that names both settings", async () => {
  const path = join(folder, "key");
  await writeFile(path, "a signing key of these tests, 32 bytes or more");
  const warning = /^BIMIP_TOKEN_LIFETIME_S is above BIMIP_JWT_MAX_LIFETIME_S: /;
  expect((await start(path, 899)).warned).toEqual([expect.stringMatching(warning)]);
  for (const fine of [0, 900]) expect((await start(path, fine)).warned).toEqual([]);
});
