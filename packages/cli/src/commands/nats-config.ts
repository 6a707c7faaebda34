import { resolve } from "node:path";
import { loadConfig } from "@bimip/runtime";
import { Command, InvalidArgumentError, Option } from "commander";
import { generate } from "../nats-config/generate.js";
import { type NatsPlan, planNodes } from "../nats-config/plan.js";
import { createOutput } from "../output.js";
import type { ProgramContext } from "../program-context.js";

const MOST_PARTITIONS = 256;

interface NatsConfigOptions {
  readonly out: string;
  readonly nodes: string;
  readonly hosts?: readonly string[];
  readonly partitions?: number;
  readonly tls?: boolean;
  readonly auth: NatsPlan["auth"];
  readonly installedAt?: string;
  readonly storeDir: string;
  readonly json?: boolean;
}

/** `bimip nats-config`: the configuration of nats-server, with one user for each service. */
export function natsConfigCommand(context: ProgramContext): Command {
  return new Command("nats-config")
    .description(
      "Write the configuration of nats-server: one user per service with the least permissions, files for each.",
    )
    .requiredOption("--out <dir>", "folder to write to; credentials and certificates in it are kept")
    .addOption(
      new Option("--nodes <count>", "nats-servers; with 3 or 5 a cluster").choices(["1", "3", "5"]).default("1"),
    )
    .option(
      "--hosts <hosts>",
      "host[:port[:route-port]] of each, with commas (default: 127.0.0.1, or nats-1,nats-2,…)",
      hosts,
    )
    .option("--partitions <n>", "BIMIP_LOG_PARTITIONS of the installation (default: that variable, else 4)", partitions)
    .option("--tls", "TLS between everything, with an authority of its own; needs the program openssl")
    .addOption(new Option("--auth <kind>", "how to log in").choices(["nkey", "password"]).default("nkey"))
    .option("--installed-at <dir>", "where the files will stand on the machines (default: --out)")
    .option("--store-dir <dir>", "where nats-server keeps its streams", "/var/lib/nats")
    .option("--json", "one line of JSON: kept, made, configs, envs")
    .addHelpText(
      "after",
      `
Examples:
  $ npx bimip nats-config --out nats
  $ npx bimip nats-config --out nats --nodes 3 --hosts a.internal,b.internal,c.internal --tls --installed-at /etc/nats

Run again it keeps what is secret and writes the rest anew, as for more partitions. To replace a credential or a
certificate, remove its file first; then give the new users.conf to every nats-server (nats-server --signal reload).`,
    )
    .action(async (options: NatsConfigOptions) => {
      const output = createOutput({ ...context, json: options.json === true });
      const plan: NatsPlan = {
        nodes: planNodes(Number(options.nodes), options.hosts ?? []),
        partitions: options.partitions ?? loadConfig(["BIMIP_LOG_PARTITIONS"], context.env).BIMIP_LOG_PARTITIONS,
        tls: options.tls === true,
        auth: options.auth,
        installedAt: resolve(options.installedAt ?? options.out),
        storeDir: options.storeDir,
      };
      const written = await generate(options.out, plan);
      for (const path of written.kept) output.note(`kept ${path}`);
      const lines = [
        ...written.made.map((path) => `made ${path}`),
        ...written.configs.map((path) => `${path}: nats-server -c ${path}`),
        ...Object.entries(written.envs).map(([user, path]) => `${path}: variables of ${user}`),
      ];
      output.result(written, lines.join("\n"));
    });
}

function hosts(text: string): string[] {
  return text.split(",").map((host) => host.trim());
}

function partitions(text: string): number {
  const number = Number(text);
  if (!/^\d{1,3}$/.test(text) || number < 1 || number > MOST_PARTITIONS)
    throw new InvalidArgumentError(`Use a number of partitions from 1 to ${MOST_PARTITIONS}.`);
  return number;
}
