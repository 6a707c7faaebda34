import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { issueToken } from "@bimip/auth";
import { bimipServices, type Stack, startStack } from "@bimip/devstack";
import { choosePorts } from "../chaos/ports.js";
import { natsViolations } from "./nats-violations.js";

/** The built services as processes, several of some, in a data directory of their own. */
export interface TestStack {
  readonly stack: Stack;
  /** Of the gateways, in order: `gateway`, `gateway-2` … */
  readonly ports: readonly number[];
  /** `ws://127.0.0.1:<port>/v1/ws`, of the same. */
  readonly urls: readonly string[];
  token(eid: string, device: string): Promise<string>;
  /** Ends everything and deletes the data directory. */
  stop(): Promise<void>;
}

/**
 * Gateways keep their node name over restarts: `edge`, `edge-2` … Replicas of awareness are the processes `awareness`,
 * `awareness-2` …
 */
export async function startTestStack(options: {
  readonly gateways: number;
  readonly awareness: number;
  readonly env?: Readonly<Record<string, string>>;
}): Promise<TestStack> {
  const dataDir = await mkdtemp(join(tmpdir(), "bimip-test-"));
  const env = { ...process.env, BIMIP_NODE: "edge", BIMIP_LOG_LEVEL: "warn", ...options.env };
  const ports = await choosePorts(options.gateways);
  const services = bimipServices(ports, env).flatMap((spec) => {
    const replicas = spec.name === "awareness" ? options.awareness : 1;
    return Array.from({ length: replicas }, (_, at) => ({
      ...spec,
      name: at === 0 ? spec.name : `${spec.name}-${at + 1}`,
    }));
  });
  const stack = await startStack({ dataDir, env, services, port: ports[0] ?? 0 });
  return {
    stack,
    ports,
    urls: ports.map((port) => `ws://127.0.0.1:${port}/v1/ws`),
    token: (eid, device) => issueToken({ secret: stack.secret, eid, device }),
    async stop() {
      await stack.stop();
      const violations = natsViolations(dataDir);
      await rm(dataDir, { recursive: true, force: true });
      if (violations.length > 0) throw new Error(`NATS did not allow:\n${violations.join("\n")}`);
    },
  };
}
