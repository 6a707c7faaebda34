import { mkdir, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NATS_USERS } from "@bimip/nats";
import { afterEach, beforeEach, expect, test } from "vitest";
import { adoptOldStore, keptNatsUsers, natsPasswordFile, natsUserOf } from "./nats-users.js";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "bimip-users-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

test("each user has a password in a file that its owner alone may read, and keeps it", async () => {
  const first = await keptNatsUsers(dir, 2);
  for (const user of [...NATS_USERS, "admin"] as const) {
    const path = natsPasswordFile(dir, user);
    expect((await stat(path)).mode & 0o077).toBe(0);
    const password = (await readFile(path, "utf8")).trim();
    expect(password.length).toBeGreaterThanOrEqual(32);
    expect(first.config).toContain(password);
  }
  const again = await keptNatsUsers(dir, 2);
  expect(again).toMatchObject({ config: first.config, admin: first.admin });
});

test("a service knows its own password, and storage alone the way into the system account", async () => {
  const users = await keptNatsUsers(dir, 1);
  expect(users.env("gateway")).toEqual({
    BIMIP_NATS_USER: "gateway",
    BIMIP_NATS_PASSWORD_FILE: natsPasswordFile(dir, "gateway"),
  });
  expect(users.env("storage")).toHaveProperty("BIMIP_NATS_SYSTEM_USER", "system-reader");
});

test("the user of a process is told by its name", () => {
  expect(["gateway", "gateway-2", "awareness-10", "storage", "router"].map(natsUserOf)).toEqual(
    ["gateway", "gateway", "awareness", "storage", "router"], // each with its replicas
  );
  expect(natsUserOf("echo")).toBeUndefined();
});

test("what an earlier version stored for no user becomes ours, once", async () => {
  const jetstream = join(dir, "jetstream");
  await mkdir(join(jetstream, "$G", "streams", "LOG_0"), { recursive: true });
  await adoptOldStore(dir);
  expect(await readdir(join(jetstream, "BIMIP", "streams"))).toEqual(["LOG_0"]);
  await mkdir(join(jetstream, "$G"));
  await adoptOldStore(dir);
  expect((await readdir(jetstream)).toSorted()).toEqual(["$G", "BIMIP"]);
});
