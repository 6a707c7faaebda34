import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startChild } from "./child.js";
import type { DataDir } from "./data-dir.js";
import { endLeftOver, isRecorded, recordProcess } from "./left-over.js";
import { readIfThere } from "./files.js";
import type { Run } from "./supervisor.js";

/** A service to run as a process: a script for Node that says `process.send({ type: "ready" })` when it is. */
export interface ServiceSpec {
  /** Unique in the stack. Those that start with `gateway` are stopped first. */
  readonly name: string;
  /** Absolute path of the script. */
  readonly script: string;
  /** Added to the stack's environment. */
  readonly env?: NodeJS.ProcessEnv;
}

const REPOSITORY = fileURLToPath(new URL("../../..", import.meta.url));

/**
 * The four services, built, from this checkout. Each gateway beyond the first is `gateway-<n>`.
 *
 * @throws Error when they are not built.
 */
export function bimipServices(gatewayPorts: readonly number[], env: NodeJS.ProcessEnv): ServiceSpec[] {
  const script = (service: string) => join(REPOSITORY, "services", service, "dist/main.js");
  const gateways = gatewayPorts.map((port, index) => {
    const name = index === 0 ? "gateway" : `gateway-${index + 1}`;
    // A node name is unique among the gateways; without one given, each makes up its own.
    const node = env["BIMIP_NODE"];
    const nodeEnv = node && index > 0 ? { BIMIP_NODE: `${node}-${index + 1}` } : {};
    return { name, script: script("gateway"), env: { BIMIP_PORT: String(port), ...nodeEnv } };
  });
  const others = ["storage", "router", "awareness"].map((name) => ({ name, script: script(name) }));
  const services = [...others, ...gateways];
  const missing = services.find((service) => !existsSync(service.script));
  if (missing) throw new Error(`${missing.script} is missing: run \`npm run build\` in the checkout first`);
  return services;
}

/** Starts a service once; its process id is written down for `endServiceLeftOver`. */
export async function launchService(spec: ServiceSpec, dataDir: DataDir, env: NodeJS.ProcessEnv): Promise<Run> {
  let becomeReady = () => {};
  const ready = new Promise<void>((resolve) => {
    becomeReady = resolve;
  });
  const child = startChild({
    command: process.execPath,
    args: [spec.script],
    env: { ...env, ...spec.env },
    logFile: dataDir.logFile(spec.name),
    onMessage(message) {
      if (typeof message === "object" && message !== null && "type" in message && message.type === "ready") {
        becomeReady();
      }
    },
  });
  if (child.pid) await recordProcess(dataDir.pidFile(spec.name), child.pid);
  return Object.assign(child, { ready });
}

/** Ends a service that an earlier process left on this data directory; its process id if there was one. */
export async function endServiceLeftOver(spec: ServiceSpec, dataDir: DataDir): Promise<number | undefined> {
  const pidFile = dataDir.pidFile(spec.name);
  const record = (await readIfThere(pidFile)) ?? "";
  return endLeftOver({ pidFile, isOurs: (running) => isRecorded(running, record, spec.script) });
}
