import { readFileSync } from "node:fs";
import { createProgram } from "@bimip/cli";
import { ACCESS_SETTINGS, type NatsUser, type ServiceAccess, serviceAccess } from "@bimip/nats";
import { loadConfig } from "@bimip/runtime";

/** What `bimip nats-config` says that it wrote. */
export interface NatsConfig {
  readonly kept: readonly string[];
  readonly made: readonly string[];
  /** One for each nats-server. */
  readonly configs: readonly string[];
  /** The settings of a user. */
  env(user: NatsUser): Record<string, string>;
  /** The same, as the services understand them. */
  access(user: NatsUser): ServiceAccess;
}

/** Runs a command of `bimip`; answers with its standard output. Rejects as the command does. */
export async function runBimip(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  let output = "";
  const stdout = { write: (text: string) => (output += text) };
  const stderr = { write: () => undefined };
  const program = createProgram({ env, stdin: process.stdin, stdout, stderr });
  try {
    await program.parseAsync(["node", "bimip", ...args]);
  } catch (error) {
    throw Object.assign(error instanceof Error ? error : new Error(String(error)), { output });
  }
  return output;
}

/** Runs `bimip nats-config` with these options beside --json. */
export async function runNatsConfig(options: readonly string[]): Promise<NatsConfig> {
  const told = JSON.parse(await runBimip(["nats-config", "--json", ...options])) as Omit<
    NatsConfig,
    "env" | "access"
  > & {
    envs: Record<string, string>;
  };
  const env = (user: NatsUser): Record<string, string> => readEnv(told.envs[user] ?? "");
  return { ...told, env, access: (user) => serviceAccess(loadConfig(ACCESS_SETTINGS, env(user))) };
}

function readEnv(path: string): Record<string, string> {
  const lines = readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
}
