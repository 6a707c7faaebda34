import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findNatsServer, type NatsServerHandle, startNatsServer } from "@bimip/devstack";

/**
 * A real nats-server with JetStream in a folder of its own; `remove` ends it and deletes the folder.
 *
 * @param options.jetstream further lines of its configuration's `jetstream` block
 */
export async function startTestNats(
  options: { jetstream?: string } = {},
): Promise<NatsServerHandle & { remove(): Promise<void> }> {
  const binary = await findNatsServer();
  const dataDir = await mkdtemp(join(tmpdir(), "bimip-nats-"));
  const server = await startNatsServer({ binary: binary.path, dataDir, ...options });
  return Object.assign(server, {
    async remove() {
      await server.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  });
}
