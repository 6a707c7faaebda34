import { spawn } from "node:child_process";
import { createConnection } from "node:net";
import { findNatsServer } from "@bimip/devstack";
import { eventually } from "./eventually.js";

/** A nats-server that runs with a configuration file as it is. */
export interface ConfiguredNats {
  /** What it logged. */
  log(): string;
  stop(): Promise<void>;
}

/** Resolves when it listens on this port of 127.0.0.1. @throws Error with its log when it ends before */
export async function startConfiguredNats(configFile: string, port: number): Promise<ConfiguredNats> {
  const { path } = await findNatsServer();
  const child = spawn(path, ["-c", configFile], { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  child.stderr.on("data", (chunk: Buffer) => {
    log += chunk.toString();
  });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  await eventually(`nats-server listens on ${port}`, async () => {
    if (child.exitCode !== null) throw new Error(`nats-server ended:\n${log}`);
    return isOpen(port);
  });
  return {
    log: () => log,
    async stop() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: "127.0.0.1" });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
