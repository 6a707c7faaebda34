import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NatsUser } from "@bimip/nats";
import { findNatsServer, type NatsServerHandle, startNatsServer } from "@bimip/devstack";
import { makeNatsUsers } from "./nats-users.js";

/** A nats-server of the tests. */
export interface TestNats extends NatsServerHandle {
  /** The environment of a service that logs in as this user; nothing where the server knows no users. */
  env(user: NatsUser): Record<string, string>;
  remove(): Promise<void>;
}

/**
 * A real nats-server with JetStream in a folder of its own; `remove` ends it and deletes the folder. Who names no user may do
 * everything.
 *
 * @param options.jetstream further lines of its configuration's `jetstream` block
 * @param options.users it knows the users of the permission table, for so many partitions
 */
export async function startTestNats(
  options: { jetstream?: string; users?: { partitions: number } } = {},
): Promise<TestNats> {
  const binary = await findNatsServer();
  const dataDir = await mkdtemp(join(tmpdir(), "bimip-nats-"));
  const users = options.users && (await makeNatsUsers(join(dataDir, "users"), options.users.partitions));
  const { jetstream } = options;
  const server = await startNatsServer({
    binary: binary.path,
    dataDir,
    ...(jetstream !== undefined && { jetstream }),
    ...(users !== undefined && { config: users.config }),
  });
  return Object.assign(server, {
    env: (user: NatsUser) => users?.env(user) ?? {},
    async remove() {
      await server.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  });
}
