import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
  bimipServices,
  describeEvent,
  type ServiceSpec,
  type Stack,
  type StackEvent,
  startStack,
} from "@bimip/devstack";
import type { Role } from "./fault-plan.js";
import { type NatsCluster, startNatsCluster } from "./nats-cluster.js";
import { choosePorts } from "./ports.js";

export const PARTITIONS = 4;
/**
 * How long each gateway tries to store a message before it answers 503: shorter than an election, about as long, and
 * the default. So the SDK's repeats and the gateway's are both put to the test.
 */
const SEND_DEADLINES_MS = [3_000, 6_000, 12_000] as const;
const COPIES = 2;

/** All processes of a run: three nats-servers, three gateways, two of every other service. */
export interface ChaosSystem {
  readonly cluster: NatsCluster;
  readonly stack: Stack;
  readonly gatewayPorts: readonly number[];
  /** Names of a role's processes, for `stack.process`. */
  processesOf(role: Role): readonly string[];
  stop(): Promise<void>;
}

/** @param onEvent gets a line for each start and end of a process */
export async function startChaosSystem(dataDir: string, onEvent: (line: string) => void): Promise<ChaosSystem> {
  await mkdir(dataDir, { recursive: true });
  const cluster = await startNatsCluster(dataDir);
  try {
    const env: NodeJS.ProcessEnv = {
      ...process.env,
      BIMIP_REPLICAS: "3",
      BIMIP_LOG_PARTITIONS: String(PARTITIONS),
      BIMIP_IDLE_TIMEOUT_S: "8",
    };
    const gatewayPorts = await choosePorts(SEND_DEADLINES_MS.length);
    const services = bimipServices(gatewayPorts, env).flatMap(inCopies);
    const stack = await startStack({
      dataDir: join(dataDir, "stack"),
      env,
      services,
      natsUrl: cluster.url,
      port: gatewayPorts[0] ?? 0,
      onEvent: (event: StackEvent) => onEvent(describeEvent(event)),
    });
    return {
      cluster,
      stack,
      gatewayPorts,
      processesOf: (role) => services.map(({ name }) => name).filter((name) => name.replace(/-\d+$/, "") === role),
      async stop() {
        await stack.stop();
        await cluster.stop();
      },
    };
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

function inCopies(spec: ServiceSpec): ServiceSpec[] {
  const { name } = spec;
  if (name.startsWith("gateway")) {
    const at = Number(/\d+$/.exec(name)?.[0] ?? 1) - 1;
    const deadlineMs = SEND_DEADLINES_MS[at];
    return [{ ...spec, env: { ...spec.env, BIMIP_NODE: name, BIMIP_SEND_DEADLINE_MS: String(deadlineMs) } }];
  }
  return Array.from({ length: COPIES }, (_, at) => ({ ...spec, name: at === 0 ? name : `${name}-${at + 1}` }));
}
