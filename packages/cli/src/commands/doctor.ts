import { jetstreamManager } from "@nats-io/jetstream";
import { type NatsConnection, readPartitions, type ServiceAccess } from "@bimip/nats";
import { loadConfig } from "@bimip/runtime";
import { Command } from "commander";
import { CliError } from "../cli-error.js";
import { fail, type Finding, type Level, ok, textOf } from "../doctor/finding.js";
import { checkProcesses } from "../doctor/processes.js";
import { checkCertificates, checkServers } from "../doctor/servers.js";
import { checkConsumers, checkStreams, type GivenTopology } from "../doctor/streams.js";
import { connectAsOperator, operatorAccess } from "../operator-access.js";
import { type OperatorOptions, withOperatorOptions } from "../operator.js";
import { createOutput, type Output, printable, type Style } from "../output.js";
import type { ProgramContext } from "../program-context.js";

interface DoctorOptions extends OperatorOptions {
  readonly json?: boolean;
}

/** `bimip doctor`: is the installation what its configuration promises? */
export function doctorCommand(context: ProgramContext): Command {
  const command = new Command("doctor").description(
    "Look whether NATS and the services are what the configuration promises; exit code 1 when they are not.",
  );
  return withOperatorOptions(command)
    .option("--json", "one line of JSON for each check: level, about, found, hint")
    .addHelpText(
      "after",
      `
Looks at nats-server's versions, members, fsync and clocks, at each stream's shape, leader and replicas, at the consumers of
offline push, and asks every process whether it is ready. Compares with BIMIP_REPLICAS, BIMIP_DEDUPE_WINDOW_S and
BIMIP_LOG_MAX_AGE_S where they are set.

Examples:
  $ npx bimip doctor
  $ env $(cat nats/env/operator.env | grep -v '#') npx bimip doctor --json`,
    )
    .action(async (options: DoctorOptions) => {
      const output = createOutput({ ...context, json: options.json === true });
      const given = givenTopology(context.env);
      const access = await operatorAccess(options, context.env);
      const nc = await connectAsOperator(access.access);
      let findings: Finding[];
      try {
        findings = await examine(nc, access, given);
      } finally {
        await nc.close();
      }
      for (const finding of findings) show(finding, output);
      const failed = findings.filter(({ level }) => level === "fail").length;
      if (failed > 0) throw new CliError(`${failed} of ${findings.length} checks failed`);
    });
}

async function examine(nc: NatsConnection, access: ServiceAccess, given: GivenTopology): Promise<Finding[]> {
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const findings = [...checkCertificates(access.access), ...(await checkServers(nc, access))];
  try {
    const { streams, consumers } = await jsm.getAccountInfo();
    findings.push(ok("JetStream", `${streams} streams, ${consumers} consumers`));
  } catch (error) {
    const hint = "give nats-server a jetstream block, and the account `jetstream: enabled`";
    return [...findings, fail("JetStream", `does not answer: ${textOf(error)}`, hint)];
  }
  const partitions = await readPartitions(nc).catch(() => undefined);
  if (partitions === undefined)
    findings.push(
      fail("BIMIP_META", "the streams are not made yet, or cannot be read", "start storage, or see its log"),
    );
  else
    findings.push(
      ok("BIMIP_META", `${partitions} partitions`),
      ...(await checkStreams(jsm, partitions, given)),
      ...(await checkConsumers(jsm, partitions)),
    );
  return [...findings, ...(await checkProcesses(nc))];
}

function givenTopology(env: ProgramContext["env"]): GivenTopology {
  const config = loadConfig(["BIMIP_REPLICAS", "BIMIP_DEDUPE_WINDOW_S", "BIMIP_LOG_MAX_AGE_S"], env);
  const ifSet = <K extends keyof typeof config>(name: K) => (env[name] ? config[name] : undefined);
  return {
    replicas: ifSet("BIMIP_REPLICAS"),
    dedupeWindowS: ifSet("BIMIP_DEDUPE_WINDOW_S"),
    logMaxAgeS: ifSet("BIMIP_LOG_MAX_AGE_S"),
  };
}

const STYLES: Readonly<Record<Level, Style>> = { ok: "green", warn: "yellow", fail: "red" };
const WIDTH = "warn".length;

function show(finding: Finding, output: Output): void {
  const { level, about, found, hint } = finding;
  const line = `${output.paint(STYLES[level], level.padEnd(WIDTH))} ${about}: ${found}`;
  output.result(finding, printable(hint === undefined || level === "ok" ? line : `${line} → ${hint}`));
}
